"""Calling a given tool with the right arguments, and answering from a tool's result."""

from __future__ import annotations

import json

from .example import Example
from .json_fill import KEYS_EN, draw_value
from .questions import SYSTEMS, question_variants
from .small_talk import SMALL_TALK
from .tool_families import CURRENCIES, FAMILIES, LANGUAGES_EN, LANGUAGES_ZH, OBJECTS, VERBS
from .values import Values

TYPES = {int: "integer", float: "number", str: "string"}
GENERIC_EN = ["Call {n} with {p}.", "Use {n} with {p}.", "Please run {n}: {p}", "{n} with {p}", "Use the tool {n} with {p}", "Execute {n} for {p}.", "I need {n}, {p}."]
GENERIC_ZH = ["调用{n}，{p}", "请用 {n}，参数 {p}", "使用工具 {n}：{p}", "执行 {n}，{p}", "运行{n}，{p}。"]


def tool_value(values: Values, kind: str, chinese: bool):
    if kind == "small":
        return values.integer(1, 99)
    if kind == "language":
        return values.pick(LANGUAGES_ZH if chinese else LANGUAGES_EN)
    if kind == "currency":
        return values.pick(CURRENCIES)
    if kind == "ticker":
        return values.draw(lambda: "".join(values.pick("ABCDEFGHIKLMNOPRSTUVXYZ") for _ in range(values.rng.randint(3, 4))))
    if kind == "number":
        return values.integer(1, 999)
    if kind in ("decimal", "letter", "english"):
        return getattr(values, kind)()
    return draw_value(values, kind, chinese)


def schema(values: Values, name: str, description: str, parameters: list[tuple[str, str, str]], required: list[str]) -> dict:
    """An OpenAI tool, with the freedom clients have in what they write."""
    described = values.chance(0.5)
    properties = {}
    for parameter, kind, text in parameters:
        properties[parameter] = {"type": kind}
        if text == "optional" and values.chance(0.6):
            properties[parameter]["enum"] = values.pick([["celsius", "fahrenheit"], ["json", "text"], ["zh", "en"], ["low", "high"], [values.word(), values.word()]])
        if described and text:
            properties[parameter]["description"] = text + values.pick(["", "", "", ", e.g. " + values.word().capitalize()])
    body: dict = {"type": "object", "properties": properties}
    if values.chance(0.8):
        body["required"] = required
    if values.chance(0.1):
        body["additionalProperties"] = False
    function: dict = {"name": name}
    if description and values.chance(0.85):
        function["description"] = description
    function["parameters"] = body
    return {"type": "function", "function": function}


def family_tool(values: Values, family: tuple, chinese: bool) -> tuple[dict, str, dict]:
    """A tool of a known family, a request for it, and the arguments."""
    names, english, chinese_text, parameters, asks_en, asks_zh = family
    chosen = [(values.pick(options), kind, value_kind, text) for options, kind, value_kind, text in parameters]
    arguments = {name: tool_value(values, value_kind, chinese) for name, _, value_kind, _ in chosen}
    ask = values.pick(asks_zh if chinese else asks_en).format(*arguments.values())
    description = chinese_text if values.chance(0.4 if chinese else 0.05) else english
    listed = [(name, kind, text) for name, kind, _, text in chosen]
    if values.chance(0.15):
        listed.append((values.pick(["unit", "format", "lang", "limit", "verbose"]), "string", "optional"))
    return schema(values, values.pick(names), description, listed, list(arguments)), ask, arguments


def generic_tool(values: Values, chinese: bool) -> tuple[dict, str, dict]:
    """A tool with a made-up name and parameters, asked for by name."""
    name = f"{values.pick(VERBS)}_{values.pick(OBJECTS)}" if values.chance(0.5) else values.word(2, 3) + values.pick(["", "_" + values.word(1, 2)])
    arguments = {}
    for _ in range(values.rng.randint(1, 3)):
        key = values.pick(KEYS_EN) if values.chance(0.65) else values.word(1, 2)
        arguments[key] = draw_value(values, values.pick(["person", "city", "thing", "age", "number", "code", "word", "color", "phrase", "date"]), chinese)
    form = values.pick(["{k}={v}", "{k} = {v}", "{k} {v}", "{k}: {v}"] + (["{k}为{v}", "{k}是{v}"] if chinese else ["{k} is {v}", "{k} set to {v}"]))
    spelled = values.pick(["，", "，", ", "] if chinese else [", ", " and "]).join(form.format(k=key, v=value) for key, value in arguments.items())
    ask = values.pick(GENERIC_ZH if chinese else GENERIC_EN).format(n=name, p=spelled)
    listed = [(key, TYPES[type(value)], "") for key, value in arguments.items()]
    return schema(values, name, "", listed, list(arguments)), ask, arguments


def call_text(name: str, arguments: dict) -> str:
    return f'<tool_call>\n{json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)}\n</tool_call>'


def call_message(name: str, arguments: dict, number: int = 0) -> dict:
    return {"role": "assistant", "content": "", "tool_calls": [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}]}


def tool_answer(values: Values, chinese: bool) -> tuple[str, str]:
    """A tool's result and what the model says about it."""
    keys = values.rng.sample(["temperature", "condition", "price", "status", "time", "result", "count", "distance", "wind", "humidity", "total", "date"] + KEYS_EN[:10],
                             values.rng.randint(1, 3))
    pairs = {key: draw_value(values, values.pick(["age", "number", "color", "word", "clock", "thing", "city"]), chinese) for key in keys}
    if values.chance(0.2):
        text = str(values.phrase(chinese) if values.chance(0.5) else values.integer(1, 999))
        return text, f"结果是 {text}。" if chinese else f"The result is {text}."
    if chinese:
        said = "，".join(f"{key} 是 {value}" for key, value in pairs.items()) + "。"
    else:
        said = ", ".join(f"the {key} is {value}" for key, value in pairs.items()) + "."
        said = said[0].upper() + said[1:]
    return json.dumps(pairs, ensure_ascii=False), said


def tool_call(values: Values) -> Example:
    """A user's request with one to three tools; the answer is a call (rarely two, rarely none)."""
    chinese = values.chance(0.45)
    families = values.rng.sample(FAMILIES, 4)
    generic = values.chance(0.35)
    tool, ask, arguments = generic_tool(values, chinese) if generic else family_tool(values, families[0], chinese)
    tools = [tool]
    for other in families[1:1 + values.pick([0, 0, 1, 1, 1, 2, 3])]:
        tools.append(generic_tool(values, chinese)[0] if values.chance(0.2) else family_tool(values, other, chinese)[0])
    values.rng.shuffle(tools)
    name = tool["function"]["name"]
    messages = [{"role": "system", "content": values.pick(SYSTEMS)}] if values.chance(0.2) else []
    messages.append({"role": "user", "content": ask})
    kind = values.rng.random()
    if values.held_out or kind < 0.80:
        expected = {"name": name, "arguments": arguments}
        return Example("tools", call_text(name, arguments), messages, tools, expected)
    if kind < 0.91:
        result, said = tool_answer(values, chinese)
        messages += [call_message(name, arguments), {"role": "tool", "tool_call_id": "call_0", "content": result}]
        return Example("tools", said, messages, tools)
    asked, answer = values.pick(SMALL_TALK)
    text = values.pick(asked)
    if values.chance(0.7):
        _, text, answer = question_variants(values)
    messages[-1] = {"role": "user", "content": text}
    return Example("tools", answer, messages, tools)
