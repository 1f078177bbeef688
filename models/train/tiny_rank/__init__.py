"""Texts for silica/tiny-embed and silica/tiny-rerank: words with their synonyms, phrasings, and pairs made of them."""
