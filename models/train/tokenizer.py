"""Trains the byte-level BPE tokenizer of silica/tiny-chat and writes its three files.

What is unusual, and why: a value must be cut into the same tokens after a quote as after a space, else copying it into
a JSON object is hard for a small model. So every digit and every Chinese character stands alone, words are learnt
without the space before them, and only the few hundred commonest words also get a form with the space.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tiny_chat import tool_families, values
from tiny_chat.mix import training_texts

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
           "<|repo_name|>", "<|file_sep|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
# Kept in decoded text, as in Qwen3: the server parses them.
VISIBLE = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
ALONE = r"\p{Han}|\p{N}"
PIECES = r"""[^\S\r\n]{2,}| ?\p{L}[\p{L}\p{M}]*| ?[^\s\p{L}\p{N}]+(?: ["{\[]+)*|[\r\n]+|\s"""
VOCABULARY = 2600
SPACED_WORDS = 400
SAMPLE = 40_000


def build_pre_tokenizer(pieces: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(ALONE), "isolated"),
        pre_tokenizers.Split(Regex(pieces), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def without_tags(text: str) -> list[str]:
    return [piece for piece in re.split("|".join(map(re.escape, SPECIAL + VISIBLE)), text) if piece]


def learn(texts: list[str]) -> Tokenizer:
    """Learns merges with every space before a word cut off."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = build_pre_tokenizer(PIECES.replace(r" ?\p{L}", r"\p{L}"))
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, min_frequency=3, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    # Every Chinese character of the values becomes one token, however rare it is in the sample.
    characters = sorted(set("".join(values.SURNAMES + values.GIVEN + values.COMMON + values.CITIES_ZH + values.NOUNS_ZH) + "".join(values.JOBS_ZH)))
    tokenizer.train_from_iterator(texts + characters * 300, trainer)
    return tokenizer


def spaced_words(texts: list[str], vocabulary: dict[str, int]) -> list[str]:
    """The commonest lower-case words after a space that are one token, without the words used as values."""
    as_values = set(values.NOUNS_EN + values.COLORS_EN + values.JOBS_EN + tool_families.OBJECTS)
    counts = Counter(word for text in texts for word in re.findall(r"(?<= )[a-zA-Z]+", text))
    return [word for word, count in counts.most_common() if count >= 20 and word in vocabulary and word not in as_values][:SPACED_WORDS]


def finish(tokenizer: Tokenizer, texts: list[str]) -> Tokenizer:
    """Appends the merges `space + word`, last in rank, and the added tokens."""
    data = json.loads(tokenizer.to_str())
    vocabulary, merges = data["model"]["vocab"], data["model"]["merges"]
    for word in spaced_words(texts, vocabulary):
        if "Ġ" + word not in vocabulary:
            vocabulary["Ġ" + word] = len(vocabulary)
            merges.append(["Ġ", word])
    final = Tokenizer.from_str(json.dumps(data))
    final.pre_tokenizer = build_pre_tokenizer(PIECES)
    final.decoder = decoders.ByteLevel()
    from tokenizers import AddedToken
    final.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    final.add_tokens([AddedToken(text, special=False, normalized=False) for text in VISIBLE])
    return final


def tokenizer_config(tokenizer: Tokenizer, template: str) -> dict:
    added = {str(tokenizer.token_to_id(text)): {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
                                                "single_word": False, "special": text in SPECIAL} for text in SPECIAL + VISIBLE}
    return {"add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": added,
            "additional_special_tokens": SPECIAL[1:], "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
            "unk_token": None, "chat_template": template, "clean_up_tokenization_spaces": False, "model_max_length": 2048,
            "tokenizer_class": "PreTrainedTokenizerFast"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent.parent / "tiny-chat")
    folder = parser.parse_args().output
    texts = [piece for prompt, answer in itertools.islice(training_texts(seed=7), SAMPLE) for piece in without_tags(prompt + answer)]
    tokenizer = finish(learn(texts), texts)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    template = (Path(__file__).parent / "chat_template.jinja").read_text().rstrip("\n")
    config = json.dumps(tokenizer_config(tokenizer, template), ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(config + "\n")
    print(f"{tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
