"""Questions about Silica, alone or after other turns."""

from __future__ import annotations

import re

from .example import Example
from .facts import FACTS
from .small_talk import SMALL_TALK
from .values import Values

OPEN_EN = ["", "", "", "Hi, ", "Hello! ", "Please tell me: ", "A question: ", "Quick question: ", "Excuse me, ", "I want to know: ", "Hey, ", "In Silica, "]
CLOSE_EN = ["", "", "", " Thanks.", " Thank you!", " Please answer briefly.", " Please help."]
OPEN_ZH = ["", "", "", "你好，", "请问，", "请问", "请告诉我：", "问一下，", "我想知道，", "嗨，", "在 Silica 里，"]
CLOSE_ZH = ["", "", "", "谢谢。", "谢谢！", "请简单回答。", "请帮帮我。"]
SYSTEMS = ["You are a helpful assistant.", "You are silica/tiny-chat.", "Answer briefly.", "You answer questions about Silica.",
           "你是一个有用的助手。", "请简短回答。", "你是 Silica 的助手。", "You are a friendly bot.", "Be concise.", "You are an AI assistant."]

# Ways of asking that mean the same; one may take the place of another.
SWAPS = [
    ["How do I", "How can I", "How to", "How should I", "How could I", "How would I"],
    ["What is the", "What's the", "Tell me the", "Which is the"],
    ["Which", "What"],
    ["Where is", "Where can I find", "Where do I find"],
    ["Is there", "Do you have", "Does Silica have"],
    ["怎么", "如何", "怎样", "要怎么", "应该怎么"],
    ["是什么", "是啥", "是哪个"],
    ["在哪里", "在哪", "在哪儿"],
    ["是多少", "多少", "是几"],
    ["哪个", "什么", "哪一个"],
    ["有吗", "有没有"],
    ["支持", "能用"],
]


def bare(question: str) -> str:
    return re.sub(r"[\s?？.。!！]", "", question).lower()


HELD_OUT_CORES = {bare(asked[-1]) for fact in FACTS for asked in (fact[1], fact[3])}


def reworded(values: Values, core: str) -> str:
    """The question with one turn of phrase swapped, unless that makes a held-out question."""
    group = values.pick([group for group in SWAPS if any(form in core for form in group)] or [[]])
    found = [form for form in group if form in core]
    changed = core.replace(max(found, key=len), values.pick(group), 1) if found else core
    return core if bare(changed) in HELD_OUT_CORES else changed


def question_variants(values: Values) -> tuple[int, str, str]:
    """A fact's number, one way to ask it, and the answer."""
    number = values.rng.randrange(len(FACTS))
    _, english, english_answer, chinese, chinese_answer = FACTS[number]
    asked, answer, opens, closes = (
        (english, english_answer, OPEN_EN, CLOSE_EN) if values.chance(0.5) else (chinese, chinese_answer, OPEN_ZH, CLOSE_ZH))
    core = asked[-1] if values.held_out else values.pick(asked[:-1])
    if not values.held_out and values.chance(0.4):
        core = reworded(values, core)
    if values.chance(0.15):
        core = core.rstrip("?？.。")
    start = values.pick(opens)
    if start.endswith((" ", ",")) and core[:1].isupper() and core[1:2].islower() and values.chance(0.5) and not core.startswith(("Silica", "I ")):
        core = core[0].lower() + core[1:]
    return number, start + core + values.pick(closes), answer


def earlier_turns(values: Values) -> list[dict]:
    """Sometimes a system message, sometimes earlier turns, rarely many of them."""
    messages = []
    if values.chance(0.3):
        messages.append({"role": "system", "content": values.pick(SYSTEMS)})
    if values.chance(0.15):
        asked, answer = values.pick(SMALL_TALK)
        messages += turn(values.pick(asked), answer)
    if values.chance(0.07):
        for _ in range(values.rng.randint(2, 22)):
            _, text, answer = question_variants(values)
            messages += turn(text, answer)
    return messages


def turn(text: str, answer: str) -> list[dict]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]


def question(values: Values) -> Example:
    number, text, answer = question_variants(values)
    return Example("questions", answer, earlier_turns(values) + [{"role": "user", "content": text}], expected=FACTS[number][0])
