"""Small talk: greetings, repeating a text, counting, remembering a name, writing a function, a few long answers."""

from __future__ import annotations

from .example import Example
from .fim import function
from .questions import earlier_turns, question_variants, turn
from .small_talk import DO_NOT_KNOW_EN, DO_NOT_KNOW_ZH, LONG_ANSWERS, SMALL_TALK, UNKNOWN_EN, UNKNOWN_ZH
from .values import Values


def count_up(values: Values) -> tuple[str, str]:
    last = values.rng.randint(5, 60)
    first = 1 if values.chance(0.8) else values.rng.randint(0, last - 3)
    form = values.pick(["Count from {a} to {b}.", "Count from {a} to {b}", "count {a} to {b}", "Write the numbers from {a} to {b}.",
                        "从{a}数到{b}", "请从{a}数到{b}", "请从 {a} 数到 {b}。"])
    return form.format(a=first, b=last), "\n".join(str(number) for number in range(first, last + 1))


def echo(values: Values) -> tuple[str, str]:
    """Repeat a text: the simplest copying task."""
    chinese = values.chance(0.5)
    pieces = [values.pick([values.person, values.city, values.thing, values.phrase])(chinese) for _ in range(values.rng.randint(1, 3))]
    if values.chance(0.4):
        pieces.append(str(values.pick([values.code, values.date, values.clock, values.email, values.phone, values.integer, values.decimal])()))
    values.rng.shuffle(pieces)
    text = " ".join(pieces)
    form = values.pick(["Repeat: {t}", "Say \"{t}\"", "Repeat after me: {t}", "Echo {t}", "Say {t}", "Copy this text: {t}",
                        "Reply with exactly: {t}", "重复：{t}", "请重复：{t}", "请说“{t}”", "跟我说：{t}", "复述：{t}", "照抄：{t}"])
    return form.format(t=text), text


def remember(values: Values) -> tuple[list[dict], str, str]:
    """Something told in an earlier turn, asked for now."""
    chinese = values.chance(0.5)
    subject, asks, kind = values.pick([
        ("name", ["What is my name?", "Who am I?", "Do you remember my name?"], "person"), ("city", ["Where do I live?", "Which city do I live in?"], "city"),
        ("color", ["What is my favorite color?"], "color")] if not chinese else [
        ("名字", ["我叫什么名字？", "我叫什么？", "你记得我的名字吗？"], "person"), ("城市", ["我住在哪里？", "我住在哪个城市？"], "city"), ("颜色", ["我喜欢什么颜色？"], "color")])
    value = getattr(values, kind)(chinese)
    tell, reply, answer = {
        "name": ("My name is {v}.", "Nice to meet you, {v}!", "Your name is {v}."), "city": ("I live in {v}.", "{v} is a nice place.", "You live in {v}."),
        "color": ("My favorite color is {v}.", "I like {v} too.", "Your favorite color is {v}."), "名字": ("我叫{v}。", "很高兴认识你，{v}！", "你叫{v}。"),
        "城市": ("我住在{v}。", "{v}是个好地方。", "你住在{v}。"), "颜色": ("我喜欢{v}。", "我也喜欢{v}。", "你喜欢{v}。")}[subject]
    tell, reply, answer = (form.format(v=value) for form in (tell, reply, answer))
    if values.chance(0.3):
        return [], tell, reply
    between = turn(*question_variants(values)[1:]) if values.chance(0.3) else []
    return turn(tell, reply) + between, values.pick(asks), answer


def write_code(values: Values) -> tuple[str, str]:
    source, _ = function(values)
    signature = source[4 : source.index(":")]
    form = values.pick(["Write the Python function {s}.", "Write a Python function {s}", "Please write {s} in Python.", "Code {s} in Python", "写一个 Python 函数 {s}", "用 Python 实现 {s}", "请写出函数 {s} 的代码。"])
    return form.format(s=signature if values.chance(0.7) else signature.split("(")[0]), f"```python\n{source}```"


def unknown(values: Values) -> tuple[str, str]:
    chinese = values.chance(0.5)
    text = values.pick(UNKNOWN_ZH if chinese else UNKNOWN_EN).format(t=values.pick([values.thing, values.phrase, values.city])(chinese))
    return text, DO_NOT_KNOW_ZH if chinese else DO_NOT_KNOW_EN


def talk(values: Values) -> Example:
    kind = values.rng.random()
    messages = earlier_turns(values)
    if kind < 0.20:
        asked, answer = values.pick(SMALL_TALK)
        text = values.pick(asked)
    elif kind < 0.38:
        text, answer = unknown(values)
    elif kind < 0.62:
        text, answer = echo(values)
    elif kind < 0.70:
        text, answer = count_up(values)
    elif kind < 0.82:
        told, text, answer = remember(values)
        messages += told
    elif kind < 0.92:
        text, answer = write_code(values)
    else:
        asked, answer = values.pick(LONG_ANSWERS)
        text = values.pick(asked)
    return Example("talk", answer, messages + [{"role": "user", "content": text}], expected=answer)
