"""What a text can mean, the many ways to say it, and meanings that are close but not the same."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

from tiny_chat.facts import FACTS
from tiny_chat.values import is_held_out

from .frames import ACTION_FRAMES, PAIR_FRAMES, QUALITY_FRAMES, SCENE_FRAMES, THING_FRAMES, split
from .intents import DAYS, INTENTS, LANGUAGES, NUMBERS, SLOT_CLASSES
from .nouns import CLASSES, NOUNS, Entry
from .verbs import ACTIONS, QUALITIES, Action, gerund, past
from .words import FILLERS, WORDS

FRAMES = {name: {kind: tuple(split(text) for text in texts) for kind, texts in table.items()}
          for name, table in (("action", ACTION_FRAMES), ("thing", THING_FRAMES), ("quality", QUALITY_FRAMES),
                              ("pair", PAIR_FRAMES), ("scene", SCENE_FRAMES))}
ALL_NOUNS = [noun for nouns in NOUNS.values() for noun in nouns]
EVERY_ENTRY = ALL_NOUNS + WORDS + [action.name for action in ACTIONS] + [pole for quality in QUALITIES for pole in quality.poles]
TIMES = [Entry(text, "time") for text in DAYS + ["yesterday=昨天", "last week=上周,上星期", "this morning=今天早上", "last year=去年", "every day=每天,天天", "in the evening=晚上,傍晚", "at night=夜里"]]
NO_DETERMINER = {"a", "an", "the", "my", "this", "some", "good", "nice", "which", "what", "many", "numerous", "much", "of", "best", "rated", "{q}", "so", "choose", "is there any", "any", "one"}
DETERMINERS = ["", "", "the", "the", "a", "my", "this", "some"]


@dataclass(frozen=True)
class Meaning:
    """`table` and `kind` choose the phrasings, `parts` fill them."""

    table: str
    kind: str
    parts: tuple

    def say(self, rng: random.Random, chinese: bool, held_out: bool = False) -> str:
        return SAYERS[self.table](self, rng, chinese, held_out)

    def near(self, rng: random.Random) -> "Meaning":
        """A meaning that differs in one part."""
        return NEIGHBOURS[self.table](self, rng)


def other(rng: random.Random, options: list, taken):
    rest = [option for option in options if option is not taken]
    return rng.choice(rest) if rest else taken


def name_of(entry: Entry, rng: random.Random, chinese: bool) -> str:
    return rng.choice(entry.names(chinese))


def noun_phrase(entry: Entry, rng: random.Random, chinese: bool, before: str) -> str:
    name = name_of(entry, rng, chinese)
    if chinese or entry.kind in ("city", "country", "ai", "illness", "time") or before in NO_DETERMINER:
        return name
    return f"{rng.choice(DETERMINERS)} {name}".strip()


def fill(frame: str, rng: random.Random, chinese: bool, entries: dict[str, Entry]) -> str:
    verb = name_of(entries["v"], rng, chinese) if "v" in entries else ""

    def one(match: re.Match) -> str:
        slot = match[1]
        if slot in ("v", "ing", "ed"):
            return {"v": verb, "ing": gerund(verb), "ed": past(verb)}[slot]
        if slot == "q":
            return name_of(entries["q"], rng, chinese)
        before = frame[: match.start()].split()
        return noun_phrase(entries[slot], rng, chinese, before[-1] if before else "")

    return re.sub(r"\{(\w+)\}", one, frame)


def say_framed(meaning: Meaning, rng: random.Random, chinese: bool, held_out: bool) -> str:
    frame = rng.choice(FRAMES[meaning.table][meaning.kind][chinese][held_out])
    return fill(frame, rng, chinese, dict(meaning.parts))


def near_framed(meaning: Meaning, rng: random.Random) -> Meaning:
    parts = dict(meaning.parts)
    if rng.random() < 0.15 and meaning.table != "scene":
        kind = other(rng, [kind for kind in FRAMES[meaning.table] if kind not in ("keyword", "name")], meaning.kind)
        return replace(meaning, kind=kind)
    slot = rng.choice(list(parts))
    if slot == "v":
        fitting = [action.name for action in ACTIONS if parts["o"].kind in action.classes]
        parts["v"] = other(rng, fitting, parts["v"])
    elif slot == "q":
        quality = next(quality for quality in QUALITIES if parts["q"] in quality.poles)
        parts["q"] = other(rng, quality.poles, parts["q"])
    else:
        kind = parts[slot].kind
        parts[slot] = other(rng, TIMES if kind == "time" else NOUNS[kind], parts[slot])
    return replace(meaning, parts=tuple(parts.items()))


def say_intent(meaning: Meaning, rng: random.Random, chinese: bool, held_out: bool) -> str:
    intent, *slots = meaning.parts
    phrasing = rng.choice(intent.phrasings[chinese][held_out])
    return fill_slots(phrasing, rng, chinese, dict(slots))


def fill_slots(phrasing: str, rng: random.Random, chinese: bool, slots: dict[str, Entry]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: name_of(slots[match[1]], rng, chinese), phrasing)


def slot_options(slot: str) -> list[Entry]:
    return NOUNS[SLOT_CLASSES[slot]] if slot in SLOT_CLASSES else SPECIAL_SLOTS[slot]


SPECIAL_SLOTS = {name: [Entry(text, name) for text in texts] for name, texts in (("day", DAYS), ("number", NUMBERS), ("language", LANGUAGES))}


def draw_intent(rng: random.Random) -> Meaning:
    intent = rng.choice(INTENTS)
    slots = sorted(set(re.findall(r"\{(\w+)\}", "".join(intent.phrasings[0][0]))))
    return Meaning("intent", "", (intent, *((slot, rng.choice(slot_options(slot))) for slot in slots)))


def near_intent(meaning: Meaning, rng: random.Random) -> Meaning:
    intent, *slots = meaning.parts
    if not slots or rng.random() < 0.5:
        place = INTENTS.index(intent)
        close = INTENTS[max(0, place - 3) : place] + INTENTS[place + 1 : place + 4]
        found = replace(draw_intent(rng), parts=(rng.choice(close),))
        needed = set(re.findall(r"\{(\w+)\}", "".join(found.parts[0].phrasings[0][0])))
        kept = dict(slots)
        return replace(found, parts=(found.parts[0], *((slot, kept.get(slot) or rng.choice(slot_options(slot))) for slot in sorted(needed))))
    changed = rng.randrange(len(slots))
    slot, entry = slots[changed]
    slots[changed] = (slot, other(rng, slot_options(slot), entry))
    return replace(meaning, parts=(intent, *slots))


def say_soup(meaning: Meaning, rng: random.Random, chinese: bool, held_out: bool) -> str:
    """The words in nearly their order, each by some name, with function words between."""
    words = [name_of(entry, rng, chinese) for entry in meaning.parts]
    if rng.random() < 0.4:
        place = rng.randrange(len(words))
        words.insert(rng.randrange(len(words)), words.pop(place))
    mixed = []
    for word in words:
        mixed += rng.choices(FILLERS[chinese], k=rng.choice([0, 0, 1, 1, 2])) + [word]
    return ("" if chinese else " ").join(mixed)


def near_soup(meaning: Meaning, rng: random.Random) -> Meaning:
    parts = list(meaning.parts)
    for place in rng.sample(range(len(parts)), max(1, len(parts) // 2)):
        parts[place] = rng.choice(EVERY_ENTRY)
    return replace(meaning, parts=tuple(parts))


def say_word(meaning: Meaning, rng: random.Random, chinese: bool, held_out: bool) -> str:
    return name_of(meaning.parts[0], rng, chinese)


def near_word(meaning: Meaning, rng: random.Random) -> Meaning:
    kind = meaning.parts[0].kind
    return replace(meaning, parts=(other(rng, NOUNS.get(kind) or EVERY_ENTRY, meaning.parts[0]),))


def say_fact(meaning: Meaning, rng: random.Random, chinese: bool, held_out: bool) -> str:
    asked = FACTS[meaning.parts[0]][3 if chinese else 1]
    return asked[-1] if held_out else rng.choice(asked[:-1])


def near_fact(meaning: Meaning, rng: random.Random) -> Meaning:
    return replace(meaning, parts=(rng.choice([number for number in range(len(FACTS)) if number != meaning.parts[0]]),))


def say_noise(meaning: Meaning, rng: random.Random, chinese: bool, held_out: bool) -> str:
    """Unknown words: said again, they are cut or thinned out, and other function words stand between."""
    words, in_chinese = list(meaning.parts[0]), meaning.kind == "chinese"
    if rng.random() < 0.5:
        start = rng.randint(0, len(words) // 3)
        words = words[start : start + max(2, len(words) * 2 // 3)]
    words = [word for word in words if rng.random() > 0.15] or words
    mixed = []
    for word in words:
        mixed += rng.choices(FILLERS[in_chinese], k=rng.choice([0, 0, 0, 1])) + [word]
    return ("" if in_chinese else " ").join(mixed)


def near_noise(meaning: Meaning, rng: random.Random) -> Meaning:
    words = list(meaning.parts[0])
    fresh = draw_noise(rng, meaning.kind == "chinese").parts[0]
    for place in range(len(words)):
        if rng.random() < 0.6:
            words[place] = rng.choice(fresh)
    return replace(meaning, parts=(tuple(words),))


PIECES = "ba be bi bo ca ce co cu da de di do en er fa fi fo ga ge gi go ha he ho in is ja ka ke la le li lo ma me mi mo na ne ni no on or pa pe pi po ra re ri ro sa se si so ta te ti to un ur va ve vi wa we wi ya za tion ment able ing ous al ic ist ship ness ful less pre con dis ex sub trans inter".split()
# The 3,755 common characters of GB 2312, in the order of their pinyin.
HAN = [bytes([high, low]).decode("gb2312") for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF) if (high, low) <= (0xD7, 0xF9)]


def draw_noise(rng: random.Random, chinese: bool) -> Meaning:
    count = rng.randint(3, 9)
    if chinese:
        words = ["".join(rng.choices(HAN, k=rng.choice([1, 2, 2, 2, 3]))) for _ in range(count)]
    else:
        words = [rng.choice(RANDOM_WORDS) if rng.random() < 0.5 else "".join(rng.choices(PIECES, k=rng.randint(1, 4))) for _ in range(count)]
        words = [str(rng.randrange(10 ** rng.randint(1, 4))) if rng.random() < 0.05 else word for word in words]
    return Meaning("noise", "chinese" if chinese else "", (tuple(words),))


def english_words() -> list[str]:
    """Every word that a trained phrasing holds, to be met in random company too."""
    frames = [phrasing for table in FRAMES.values() for both in table.values() for phrasing in both[0][0]]
    frames += [phrasing for intent in INTENTS for phrasing in intent.phrasings[0][0]]
    frames += [name for entry in EVERY_ENTRY for name in entry.english] + [asked for fact in FACTS for asked in fact[1][:-1] + [fact[2]]]
    return sorted(set(re.findall(r"[a-z]{2,}", re.sub(r"\{\w+\}", " ", " ".join(frames).lower()))))


RANDOM_WORDS = english_words()
SAYERS = {"action": say_framed, "thing": say_framed, "quality": say_framed, "pair": say_framed, "scene": say_framed, "intent": say_intent,
          "soup": say_soup, "word": say_word, "fact": say_fact, "noise": say_noise}
NEIGHBOURS = {"action": near_framed, "thing": near_framed, "quality": near_framed, "pair": near_framed, "scene": near_framed,
              "intent": near_intent, "soup": near_soup, "word": near_word, "fact": near_fact, "noise": near_noise}


def draw_object(rng: random.Random, action: Action, held_out: bool) -> Entry:
    """An object of the action; which pairs of the two are held out depends on their names alone."""
    fitting = [noun for kind in action.classes for noun in NOUNS[kind] if is_held_out(action.name.english[0] + noun.english[0]) == held_out]
    return rng.choice(fitting)


def is_trained(meaning: Meaning) -> bool:
    """False for an action on a held-out object."""
    parts = dict(meaning.parts) if meaning.table in ("action", "scene") else {}
    return not parts or not is_held_out(parts["v"].english[0] + parts["o"].english[0])


def draw_framed(rng: random.Random, table: str, held_out: bool) -> Meaning:
    kind = rng.choice(list(FRAMES[table]))
    if table == "action":
        action = rng.choice([action for action in ACTIONS if not held_out or has_held_out(action)])
        return Meaning(table, kind, (("v", action.name), ("o", draw_object(rng, action, held_out))))
    if table == "scene":
        action = rng.choice([action for action in ACTIONS if not held_out or has_held_out(action)])
        parts = [("s", rng.choice(NOUNS["person"])), ("v", action.name), ("o", draw_object(rng, action, held_out))]
        parts += [("l", rng.choice(NOUNS[rng.choice(["place", "city"])]))] if "l" in kind else []
        return Meaning(table, kind, tuple(parts + ([("t", rng.choice(TIMES))] if "t" in kind else [])))
    if table == "quality":
        quality = rng.choice(QUALITIES)
        return Meaning(table, kind, (("o", rng.choice(NOUNS[rng.choice(quality.classes)])), ("q", rng.choice(quality.poles))))
    if table == "pair":
        nouns = NOUNS[rng.choice(list(NOUNS))]
        first = rng.choice(nouns)
        second = other(rng, nouns if kind != "at" else NOUNS["place"], first)
        return Meaning(table, kind, (("o", first), ("p", second)))
    return Meaning(table, kind, (("o", rng.choice(ALL_NOUNS)),))


def has_held_out(action: Action) -> bool:
    return any(is_held_out(action.name.english[0] + noun.english[0]) for kind in action.classes for noun in NOUNS[kind])


def near_trained(meaning: Meaning, rng: random.Random) -> Meaning:
    """A close meaning that training may see; the meaning itself where chance finds none."""
    for _ in range(10):
        close = meaning.near(rng)
        if is_trained(close):
            return close
    return meaning


def class_of(entry: Entry) -> Entry | None:
    return CLASSES.get(entry.kind)
