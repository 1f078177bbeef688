"""The mixture of meanings that training sees, pairs of texts for the embedder, and ranked lists for the reranker."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tiny_chat.facts import FACTS

from .examples import BY_HAND
from .meanings import EVERY_ENTRY, Meaning, class_of, draw_framed, draw_intent, draw_noise, fill_slots, near_trained

SHARES = {"action": 22, "thing": 8, "quality": 8, "pair": 3, "scene": 13, "intent": 22, "soup": 12, "word": 4, "fact": 2, "noise": 6}
OPENINGS = (["hi, ", "hello, ", "excuse me, ", "well, ", "please, ", "hey, ", "so "], ["你好，", "请问，", "请问", "嗯，", "那个，", "想问一下，"])
CLOSINGS = ([" thanks", " please", "...", " thank you", " now"], ["谢谢", "啊", "呢", "吧", "呀", "，谢谢"])
MARKS = (["", "", "?", ".", "!"], ["", "", "？", "。", "！"])


def bare(text: str) -> str:
    return re.sub(r"\W", "", text).lower()


SCORED = {bare(text) for pairs in BY_HAND.values() for pair in pairs for text in pair}


def draw(rng: random.Random) -> Meaning:
    table = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if table == "intent":
        return draw_intent(rng)
    if table == "soup":
        return Meaning("soup", "", tuple(rng.choices(EVERY_ENTRY, k=rng.randint(2, 7))))
    if table == "word":
        return Meaning("word", "", (rng.choice(EVERY_ENTRY),))
    if table == "fact":
        return Meaning("fact", "", (rng.randrange(len(FACTS)),))
    if table == "noise":
        return draw_noise(rng, rng.random() < 0.5)
    return draw_framed(rng, table, held_out=False)


def thin(text: str, rng: random.Random, share: float) -> str:
    """Leaves out some words, or some Chinese characters."""
    units = re.findall(r"[a-zA-Z0-9']+|[^\sa-zA-Z0-9]|\s+", text)
    kept = [unit for unit in units if unit.isspace() or rng.random() > share]
    return "".join(kept).strip() or text


def trained(meaning: Meaning, rng: random.Random, chinese: bool) -> str:
    """A way to say it, as people write: with openings, marks, a missing word. Never a sentence of the scores."""
    for _ in range(20):
        text = meaning.say(rng, chinese)
        if bare(text) not in SCORED:
            break
    else:
        raise LookupError(f"every phrasing is held out: {text}")
    if meaning.table in ("noise", "word"):
        return text
    text += rng.choice(MARKS[chinese])
    if rng.random() < 0.12:
        text = rng.choice(OPENINGS[chinese]) + text
    if rng.random() < 0.06:
        text += rng.choice(CLOSINGS[chinese])
    return thin(text, rng, 0.12) if rng.random() < 0.12 and meaning.table != "soup" else text


def languages(rng: random.Random) -> tuple[bool, bool]:
    first = rng.random() < 0.5
    return first, first if rng.random() < 0.8 else not first


def pairs(seed: int) -> Iterator[tuple[Meaning, str, str]]:
    """Endless pairs of one meaning, in clusters that differ little: each is a hard negative of the others."""
    rng = random.Random(seed)
    while True:
        meaning = draw(rng)
        cluster = {meaning} | {near_trained(meaning, rng) for _ in range(rng.choice([1, 2, 3]))}
        first, second = languages(rng)
        for one in sorted(cluster, key=lambda _: rng.random()):
            yield one, *pair_of(one, rng, first, second)


def pair_of(meaning: Meaning, rng: random.Random, first: bool, second: bool) -> tuple[str, str]:
    query, text = trained(meaning, rng, first), trained(meaning, rng, second)
    chance = rng.random()
    if meaning.table in ("fact", "intent") and chance < 0.25:
        return query, answer(meaning, rng, second) or text
    if chance > 0.95 and meaning.table != "word":
        return query, passage(text, rng, second, rng.randint(1, 3))
    if chance > 0.92:
        return query, thin(query, rng, 0.3)
    return query, text


def answer(meaning: Meaning, rng: random.Random, chinese: bool) -> str | None:
    if meaning.table == "fact":
        return FACTS[meaning.parts[0]][4 if chinese else 2]
    intent, *slots = meaning.parts
    return fill_slots(intent.answers[chinese], rng, chinese, dict(slots)) if intent.answers else None


def passage(text: str, rng: random.Random, chinese: bool, others: int) -> str:
    """The text among sentences of other meanings."""
    sentences = [text] + [trained(draw(rng), rng, chinese) for _ in range(others)]
    rng.shuffle(sentences)
    return ("。" if chinese else ". ").join(sentence.rstrip("?.!。？！") for sentence in sentences)


@dataclass
class Ranked:
    """Documents for a query, with how well each fits: 1 says the same or answers, 0 has nothing to do with it."""

    query: str
    documents: list[str]
    fits: list[float]


def ranked(seed: int, negatives: int = 5) -> Iterator[Ranked]:
    rng = random.Random(seed)
    while True:
        meaning = draw(rng)
        first, second = languages(rng)
        query, text = pair_of(meaning, rng, first, second)
        found = [(text, 1.0)]
        if meaning.table == "word":
            found = related_words(meaning, rng, second)
        while len(found) < negatives + 1:
            found.append(negative(meaning, rng, second))
        rng.shuffle(found)
        yield Ranked(query, [document for document, _ in found], [fit for _, fit in found])


def negative(meaning: Meaning, rng: random.Random, chinese: bool) -> tuple[str, float]:
    if rng.random() < 0.6:
        close = near_trained(meaning, rng)
        if close == meaning:
            return trained(meaning, rng, chinese), 1.0
        same_parts = close.parts == meaning.parts
        text = trained(close, rng, chinese)
        fit = 0.3 if same_parts else 0.05
    else:
        text, fit = trained(draw(rng), rng, chinese), 0.0
    return (passage(text, rng, chinese, rng.randint(1, 3)), fit / 2) if rng.random() < 0.06 else (text, fit)


def related_words(meaning: Meaning, rng: random.Random, chinese: bool) -> list[tuple[str, float]]:
    entry = meaning.parts[0]
    kind = class_of(entry)
    found = [(rng.choice(entry.names(chinese)), 1.0)]
    if kind:
        found.append((rng.choice(kind.names(chinese)), 0.4))
        found.append((rng.choice(meaning.near(rng).parts[0].names(chinese)), 0.1))
        found.append((rng.choice(class_of(draw_noun(rng)).names(chinese)), 0.02))
    return found


def draw_noun(rng: random.Random):
    while True:
        entry = rng.choice(EVERY_ENTRY)
        if class_of(entry):
            return entry
