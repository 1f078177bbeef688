"""Builds the WordPiece tokenizer that silica/tiny-embed and silica/tiny-rerank share, and writes its two files.

Each Chinese character is a token, the 3,755 common ones of GB 2312 by name. An English word gets a token only in its
base form: `buying` is `buy` + `##ing`, so its forms share a token and unseen forms are understood.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import string
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from tiny_rank.meanings import EVERY_ENTRY, HAN, RANDOM_WORDS
from tiny_rank.mix import pairs

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENDINGS = ["s", "es", "ed", "d", "ing", "er", "ers", "ly", "r", "y"]
DOUBLED = "bdgmnprt"
SUBWORDS = 420
LONGEST = 512
HERE = Path(__file__).resolve().parent


def is_form(word: str, words: set[str]) -> bool:
    """Says whether the word is another word of the list with an ending."""
    for ending in ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2 and stem in words:
            return True
    stem = re.sub(rf"([{DOUBLED}])\1(ing|ed|er)$", r"\1", word)
    return stem != word and stem in words


def base_words() -> list[str]:
    words = set(RANDOM_WORDS)
    return sorted(word for word in words if not is_form(word, words))


def subwords(words: list[str]) -> list[str]:
    """The commonest strings of two to four letters, for words that have no token."""
    counts = Counter()
    for word in words:
        for size in (2, 3, 4):
            counts.update({word[start : start + size]: size for start in range(len(word) - size + 1)})
    return [piece for piece, _ in counts.most_common(SUBWORDS)]


def vocabulary() -> list[str]:
    words = base_words()
    sample = "".join(text for _, *texts in itertools.islice(pairs(7), 60_000) for text in texts)
    names = "".join(name for entry in EVERY_ENTRY for name in entry.chinese)
    rare = sorted({char for char in sample + names if ord(char) > 127} - set(HAN))
    pieces = subwords(words)
    endings = ENDINGS + [letter + rest for letter in DOUBLED for rest in ("ing", "ed", "er")]
    singles = list(string.ascii_lowercase + string.digits + string.punctuation)
    tokens = SPECIAL + singles + ["##" + single for single in string.ascii_lowercase + string.digits]
    tokens += words + pieces + ["##" + piece for piece in pieces] + ["##" + ending for ending in endings] + HAN + rare
    return list(dict.fromkeys(tokens))


def build(tokens: list[str]) -> Tokenizer:
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def config() -> dict:
    return {"clean_up_tokenization_spaces": True, "cls_token": "[CLS]", "do_lower_case": True, "mask_token": "[MASK]",
            "model_max_length": LONGEST, "pad_token": "[PAD]", "sep_token": "[SEP]", "strip_accents": True,
            "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer", "unk_token": "[UNK]"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=HERE.parent, help="where tiny-embed and tiny-rerank lie")
    tokenizer = build(vocabulary())
    for name in ("tiny-embed", "tiny-rerank"):
        folder = parser.parse_args().models / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(config(), indent=2) + "\n")
    print(f"{tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
