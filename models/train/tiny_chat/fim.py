"""Short Python functions with a piece taken out: fill-in-the-middle."""

from __future__ import annotations

import textwrap

from .example import Example
from .values import Values, is_held_out

# Function name, parameters, body and calls for the test. {a} {b} are parameters, {t} {i} locals, {k} a constant.
KINDS = [
    ("add", "{a}, {b}", "return {a} + {b}", ["3, 4", "10, -2"]),
    ("subtract", "{a}, {b}", "return {a} - {b}", ["9, 4", "1, 5"]),
    ("multiply", "{a}, {b}", "return {a} * {b}", ["3, 4", "7, 0"]),
    ("divide", "{a}, {b}", "if {b} == 0:\n    return None\nreturn {a} / {b}", ["8, 2", "1, 0"]),
    ("power", "{a}, {b}", "return {a} ** {b}", ["2, 5", "3, 0"]),
    ("add_{k}", "{a}", "return {a} + {k}", ["3", "-8"]),
    ("times_{k}", "{a}", "return {a} * {k}", ["3", "11"]),
    ("square", "{a}", "return {a} * {a}", ["3", "12"]),
    ("double", "{a}", "return {a} * 2", ["3", "12"]),
    ("maximum", "{a}, {b}", "if {a} > {b}:\n    return {a}\nreturn {b}", ["3, 4", "9, 2"]),
    ("minimum", "{a}, {b}", "if {a} < {b}:\n    return {a}\nreturn {b}", ["3, 4", "9, 2"]),
    ("absolute", "{a}", "if {a} < 0:\n    return -{a}\nreturn {a}", ["3", "-4"]),
    ("is_even", "{a}", "return {a} % 2 == 0", ["3", "4"]),
    ("is_odd", "{a}", "return {a} % 2 == 1", ["3", "4"]),
    ("is_positive", "{a}", "return {a} > 0", ["3", "-4"]),
    ("is_divisible_by_{k}", "{a}", "return {a} % {k} == 0", ["30", "7"]),
    ("greater_than_{k}", "{a}", "return {a} > {k}", ["3", "1000"]),
    ("sum_list", "{a}", "{t} = 0\nfor {i} in {a}:\n    {t} += {i}\nreturn {t}", ["[1, 2, 5]", "[]"]),
    ("product_list", "{a}", "{t} = 1\nfor {i} in {a}:\n    {t} *= {i}\nreturn {t}", ["[1, 2, 5]", "[3]"]),
    ("count_even", "{a}", "{t} = 0\nfor {i} in {a}:\n    if {i} % 2 == 0:\n        {t} += 1\nreturn {t}", ["[1, 2, 4]", "[]"]),
    ("count_above_{k}", "{a}", "{t} = 0\nfor {i} in {a}:\n    if {i} > {k}:\n        {t} += 1\nreturn {t}", ["[1, 2, 400]", "[900]"]),
    ("max_list", "{a}", "{t} = {a}[0]\nfor {i} in {a}:\n    if {i} > {t}:\n        {t} = {i}\nreturn {t}", ["[1, 7, 5]", "[3]"]),
    ("min_list", "{a}", "{t} = {a}[0]\nfor {i} in {a}:\n    if {i} < {t}:\n        {t} = {i}\nreturn {t}", ["[4, 1, 5]", "[3]"]),
    ("squares", "{a}", "return [{i} * {i} for {i} in {a}]", ["[1, 2, 5]"]),
    ("add_to_all", "{a}, {b}", "return [{i} + {b} for {i} in {a}]", ["[1, 2], 5"]),
    ("only_positive", "{a}", "return [{i} for {i} in {a} if {i} > 0]", ["[1, -2, 5]"]),
    ("only_even", "{a}", "return [{i} for {i} in {a} if {i} % 2 == 0]", ["[1, -2, 4]"]),
    ("factorial", "{a}", "{t} = 1\nfor {i} in range(1, {a} + 1):\n    {t} *= {i}\nreturn {t}", ["5", "0"]),
    ("sum_to", "{a}", "{t} = 0\nfor {i} in range({a} + 1):\n    {t} += {i}\nreturn {t}", ["5", "0"]),
    ("fibonacci", "{a}", "if {a} < 2:\n    return {a}\nreturn fibonacci({a} - 1) + fibonacci({a} - 2)", ["7", "1"]),
    ("average", "{a}", "return sum({a}) / len({a})", ["[1, 2, 6]"]),
    ("reverse", "{a}", "return {a}[::-1]", ["'abc'", "[1, 2]"]),
    ("first", "{a}", "return {a}[0]", ["'abc'", "[4, 2]"]),
    ("last", "{a}", "return {a}[-1]", ["'abc'", "[4, 2]"]),
    ("length", "{a}", "return len({a})", ["'abc'", "[]"]),
    ("is_empty", "{a}", "return len({a}) == 0", ["'abc'", "[]"]),
    ("to_upper", "{a}", "return {a}.upper()", ["'aBc'"]),
    ("to_lower", "{a}", "return {a}.lower()", ["'aBc'"]),
    ("greet", "{a}", "return \"Hello, \" + {a}", ["'Bob'"]),
    ("join_words", "{a}", "return \" \".join({a})", ["['a', 'b']"]),
    ("split_words", "{a}", "return {a}.split()", ["'a b c'"]),
    ("repeat", "{a}, {b}", "return {a} * {b}", ["'ab', 3"]),
    ("contains", "{a}, {b}", "return {b} in {a}", ["[1, 2], 2", "[1], 5"]),
    ("is_palindrome", "{a}", "return {a} == {a}[::-1]", ["'aba'", "'ab'"]),
    ("count_char", "{a}, {b}", "{t} = 0\nfor {i} in {a}:\n    if {i} == {b}:\n        {t} += 1\nreturn {t}", ["'banana', 'a'"]),
    ("sort_list", "{a}", "return sorted({a})", ["[3, 1, 2]"]),
    ("get_value", "{a}, {b}", "return {a}.get({b})", ["{{'x': 1}}, 'x'"]),
    ("swap", "{a}, {b}", "return {b}, {a}", ["1, 2"]),
    ("clamp", "{a}, low, high", "if {a} < low:\n    return low\nif {a} > high:\n    return high\nreturn {a}", ["5, 1, 3", "0, 1, 3", "2, 1, 3"]),
    ("area", "{a}, {b}", "return {a} * {b}", ["3, 4"]),
    ("perimeter", "{a}, {b}", "return 2 * ({a} + {b})", ["3, 4"]),
    ("celsius", "{a}", "return ({a} - 32) * 5 / 9", ["212"]),
]
SYNONYMS = {"sum_list": ["sum_list", "total", "sum_numbers", "sum_all"], "maximum": ["maximum", "max_of_two", "larger", "bigger", "max2"], "product_list": ["product_list", "product"],
            "minimum": ["minimum", "min_of_two", "smaller", "min2"], "add": ["add", "plus", "add_numbers", "sum_two"], "subtract": ["subtract", "minus", "sub"],
            "multiply": ["multiply", "mul", "times"], "reverse": ["reverse", "reverse_string", "reversed_text"], "absolute": ["absolute", "absolute_value", "my_abs"],
            "max_list": ["max_list", "find_max", "largest"], "min_list": ["min_list", "find_min", "smallest"], "length": ["length", "size", "count_items"],
            "average": ["average", "mean"], "greet": ["greet", "say_hello", "hello"], "factorial": ["factorial", "fact"], "to_upper": ["to_upper", "upper", "uppercase"],
            "to_lower": ["to_lower", "lower", "lowercase"], "sum_to": ["sum_to", "sum_up_to"], "only_even": ["only_even", "filter_even", "even_numbers"],
            "only_positive": ["only_positive", "filter_positive"], "join_words": ["join_words", "join"], "sort_list": ["sort_list", "sort_numbers"]}
NAMES = "a b x y n m value number num items numbers values data text word s left right first_value second size amount price list1 array nums".split()
LOCALS = "total result count best output answer current acc res".split()
LOOPS = "i item value number x n element entry c each".split()


def function(values: Values) -> tuple[str, list[str]]:
    """The source of a function and the calls that test it."""
    kind, parameters, body, calls = values.pick(KINDS)
    constant = values.rng.randint(2, 99)
    name = values.pick(SYNONYMS.get(kind, [kind])).format(k=constant)
    if values.chance(0.15) and "fibonacci" not in kind:
        name = f"{name}_{values.word(1, 1)}"
    pool = values.rng.sample(NAMES, 4) if values.chance(0.7) else [values.word(1, 2) for _ in range(4)]
    first, second = ("a", "b") if values.chance(0.25) else pool[:2]
    local = values.pick([word for word in LOCALS if word not in (first, second)])
    loop = values.pick([word for word in LOOPS if word not in (first, second, local)])
    words = {"a": first, "b": second, "t": local, "i": loop, "k": constant}
    source = f"def {name}({parameters.format(**words)}):\n" + textwrap.indent(body.format(**words), "    ") + "\n"
    return source, [f"{name}({call.format()})" for call in calls]


def cut(values: Values, source: str) -> tuple[int, int]:
    """Where the missing piece starts and ends: a body, a line, the end of a line, or any span after the signature."""
    start = source.index(":\n") + 2
    lines = [number for number in range(start, len(source)) if source[number - 1] == "\n"]
    kind = values.rng.random()
    if kind < 0.3:
        return start + values.pick([0, 4]), len(source) - values.pick([0, 1, 1])
    begin = values.pick(lines)
    end = source.index("\n", begin)
    indent = len(source[begin:end]) - len(source[begin:end].lstrip())
    if kind < 0.6:
        return begin + indent, end
    if kind < 0.7:
        return begin, end
    if kind < 0.85:
        spaces = [number for number in range(begin + indent, end) if source[number] in " (["] or [begin + indent]
        return values.pick(spaces) + values.pick([0, 1]), end
    begin = values.rng.randint(start, len(source) - 3)
    return begin, values.rng.randint(begin + 1, len(source) - 1)


def fim(values: Values) -> Example:
    while True:
        source, calls = function(values)
        begin, end = cut(values, source)
        # By the signature: it is all that a prompt shows when the whole body is missing.
        if end > begin and is_held_out(source.split("\n")[0]) == values.held_out and source[begin:end].strip():
            break
    before = "" if values.chance(0.9) else values.pick(["# helper functions\n\n", "import math\n\n", "# utils.py\n"])
    after = "" if values.chance(0.8) or end < len(source) - 1 else f"\nprint({calls[0]})\n"
    prefix, middle, suffix = before + source[:begin], source[begin:end], source[end:] + after
    if values.chance(0.2):
        suffix = suffix.rstrip("\n")
    return Example("fim", middle, prefix=prefix, suffix=suffix, expected={"source": source, "calls": calls})
