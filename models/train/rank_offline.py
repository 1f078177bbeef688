"""Asks the exported folders through transformers, as any other program would load them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

BATCH = 64


class Folders:
    """`which`: embed, rerank or both."""

    def __init__(self, models: Path, which: str = "both"):
        torch.set_num_threads(1)
        if which != "rerank":
            self.embed_tokenizer = AutoTokenizer.from_pretrained(models / "tiny-embed")
            self.embedder = AutoModel.from_pretrained(models / "tiny-embed", dtype=torch.float32).eval()
        if which != "embed":
            self.rerank_tokenizer = AutoTokenizer.from_pretrained(models / "tiny-rerank")
            self.reranker = AutoModelForSequenceClassification.from_pretrained(models / "tiny-rerank", dtype=torch.float32).eval()

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> list[list[float]]:
        vectors = []
        for start in range(0, len(texts), BATCH):
            inputs = self.embed_tokenizer(texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt")
            hidden = self.embedder(**inputs).last_hidden_state[:, 0]
            vectors += torch.nn.functional.normalize(hidden, dim=-1).tolist()
        return vectors

    @torch.inference_mode()
    def rerank(self, query: str, documents: list[str]) -> list[float]:
        inputs = self.rerank_tokenizer([query] * len(documents), documents, padding=True, truncation=True, return_tensors="pt")
        return self.reranker(**inputs).logits[:, 0].sigmoid().tolist()
