"""The mixture of skills, and the texts of training examples."""

from __future__ import annotations

import random
from collections.abc import Iterator

from .example import Example
from .held_out import SKILLS
from .render import render
from .values import Values

# Shares of examples, not of tokens: a tool example is about four times as long as a question.
SHARES = {"arithmetic": 0.16, "questions": 0.13, "json": 0.25, "tools": 0.18, "fim": 0.17, "talk": 0.11}


def examples(seed: int, shares: dict[str, float] = SHARES) -> Iterator[Example]:
    """Training examples without end."""
    rng = random.Random(seed)
    values = Values(rng, held_out=False)
    names, weights = list(shares), list(shares.values())
    while True:
        yield SKILLS[rng.choices(names, weights)[0]](values)


def training_texts(seed: int, shares: dict[str, float] = SHARES) -> Iterator[tuple[str, str]]:
    """Prompt and answer texts. Some answers are split at any character, so that the model also continues a prefix."""
    rng = random.Random(seed + 1)
    for example in examples(seed, shares):
        thinking = example.prefix is not None or rng.random() >= 0.05
        if not thinking:
            example.answer = example.answer.split("</think>\n\n")[-1]
        prompt, answer = render(example, enable_thinking=thinking)
        if example.prefix is None and rng.random() < 0.04:
            place = rng.randint(1, len(example.answer))
            prompt, answer = prompt + answer[:place], answer[place:]
        yield prompt, answer
