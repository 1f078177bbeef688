"""Questions for the scores: which of twenty texts says the same? Both texts are phrasings that training never saw."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tiny_chat.facts import FACTS

from .examples import BY_HAND
from .meanings import Meaning, draw_framed, draw_intent

TABLES = {"action": 30, "thing": 15, "quality": 10, "pair": 5, "scene": 20, "intent": 20}
CANDIDATES = 20
HARD = 5


@dataclass
class Question:
    """The first candidate is the right one."""

    query: str
    candidates: list[str]


def draw(rng: random.Random) -> Meaning:
    table = rng.choices(list(TABLES), list(TABLES.values()))[0]
    return draw_intent(rng) if table == "intent" else draw_framed(rng, table, held_out=True)


def question(rng: random.Random, first: bool, second: bool, hard: bool) -> Question | None:
    """None where chance drew the same text twice or a wrong candidate that is right."""
    meaning = draw(rng)
    query, text = meaning.say(rng, first, held_out=True), meaning.say(rng, second, held_out=True)
    others = [meaning.near(rng) for _ in range(HARD)] if hard else []
    others += [draw(rng) for _ in range(CANDIDATES - 1 - len(others))]
    wrong = [one.say(rng, second, held_out=True) for one in others]
    if query == text or meaning in others or len({text, *wrong}) < CANDIDATES:
        return None
    return Question(query, [text] + wrong)


def generated(first: bool, second: bool, hard: bool, count: int, seed: int = 0) -> list[Question]:
    rng, found = random.Random(f"{seed} {first} {second} {hard}"), []
    while len(found) < count:
        made = question(rng, first, second, hard)
        if made:
            found.append(made)
    return found


def from_pairs(pairs: list[tuple[str, str]], seed: int = 0, rounds: int = 5) -> list[Question]:
    """Each pair several times, among other candidates, and from either side."""
    rng, found = random.Random(seed), []
    for number in range(rounds):
        for pair in pairs:
            side = number % 2
            others = rng.sample([other[1 - side] for other in pairs if other is not pair], min(CANDIDATES, len(pairs)) - 1)
            found.append(Question(pair[side], [pair[1 - side]] + others))
    return found


def facts(chinese: bool) -> list[Question]:
    """A question about Silica that was never trained, and the answers to choose from."""
    asked, answer = (3, 4) if chinese else (1, 2)
    return from_pairs([(fact[asked][-1], fact[answer]) for fact in FACTS], rounds=1)


def sets(count: int) -> dict[str, list[Question]]:
    """Every set of the scores by its name."""
    languages = {"English": (False, False), "Chinese": (True, True), "English to Chinese": (False, True), "Chinese to English": (True, False)}
    found = {}
    for name, (first, second) in languages.items():
        found[f"{name}, unseen phrasings"] = generated(first, second, False, count)
        found[f"{name}, unseen phrasings, 5 near misses"] = generated(first, second, True, count)
    found |= {name: from_pairs(pairs) for name, pairs in BY_HAND.items()}
    return found | {"question to answer, English": facts(False), "question to answer, Chinese": facts(True)}
