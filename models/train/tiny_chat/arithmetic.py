"""Sums and differences of numbers below one hundred, with the written method between the think tags."""

from __future__ import annotations

from .example import Example
from .values import Values, is_held_out

ADD_EN = ["{a}+{b}", "{a} + {b}", "{a}+{b}=", "{a} + {b} = ?", "What is {a} + {b}?", "What is {a} plus {b}?", "Calculate {a} + {b}.",
          "Compute {a}+{b}", "How much is {a} + {b}?", "Add {a} and {b}.", "What's {a}+{b}?", "Please work out {a} plus {b}.",
          "Tell me the sum of {a} and {b}.", "{a} plus {b} equals?", "I have {a} apples and buy {b} more. How many do I have now?",
          "There are {a} red balls and {b} blue balls. How many balls in total?", "Solve: {a} + {b}", "what is {a}+{b}",
          "Sum {a} and {b}", "Can you calculate {a}+{b}?"]
SUB_EN = ["{a}-{b}", "{a} - {b}", "{a}-{b}=", "{a} - {b} = ?", "What is {a} - {b}?", "What is {a} minus {b}?", "Calculate {a} - {b}.",
          "Compute {a}-{b}", "How much is {a} - {b}?", "Subtract {b} from {a}.", "What's {a}-{b}?", "Please work out {a} minus {b}.",
          "Tell me the difference of {a} and {b}.", "{a} minus {b} equals?", "I have {a} apples and eat {b}. How many are left?",
          "There were {a} birds and {b} flew away. How many remain?", "Solve: {a} - {b}", "what is {a}-{b}", "Can you calculate {a}-{b}?"]
ADD_ZH = ["{a}+{b}", "{a}+{b}等于多少", "{a}+{b}等于多少？", "{a} + {b} = ?", "{a}加{b}等于多少？", "{a}加{b}等于几", "计算{a}+{b}",
          "请计算 {a} + {b}", "{a}加上{b}是多少？", "请问{a}+{b}是多少？", "帮我算一下{a}+{b}", "{a}与{b}的和是多少？", "{a}+{b}=",
          "我有{a}个苹果，又买了{b}个，一共有多少个？", "求{a}加{b}的结果。", "算一算：{a}+{b}", "{a}和{b}相加得多少？"]
SUB_ZH = ["{a}-{b}", "{a}-{b}等于多少", "{a}-{b}等于多少？", "{a} - {b} = ?", "{a}减{b}等于多少？", "{a}减{b}等于几", "计算{a}-{b}",
          "请计算 {a} - {b}", "{a}减去{b}是多少？", "请问{a}-{b}是多少？", "帮我算一下{a}-{b}", "{a}与{b}的差是多少？", "{a}-{b}=",
          "我有{a}个苹果，吃了{b}个，还剩多少个？", "求{a}减{b}的结果。", "算一算：{a}-{b}", "从{a}里减去{b}得多少？"]


def steps(a: int, b: int, plus: bool, chinese: bool) -> str:
    """The written method: ones, then tens, with carry or borrow."""
    ones, tens = ("个位", "十位") if chinese else ("ones", "tens")
    if plus:
        low = a % 10 + b % 10
        carry = low // 10
        mark = ("进1" if chinese else "carry 1") if carry else ""
        extra = "+1" if carry else ""
        high = a // 10 + b // 10 + carry
        return f"{ones} {a % 10}+{b % 10}={low} {mark}".rstrip() + f"\n{tens} {a // 10}+{b // 10}{extra}={high}"
    borrow = a % 10 < b % 10
    mark = ("借1" if chinese else "borrow 1") if borrow else ""
    extra = "-1" if borrow else ""
    top = f"{a % 10 + 10}" if borrow else f"{a % 10}"
    low = a % 10 - b % 10 + (10 if borrow else 0)
    high = a // 10 - b // 10 - (1 if borrow else 0)
    return f"{ones} {top}-{b % 10}={low} {mark}".rstrip() + f"\n{tens} {a // 10}-{b // 10}{extra}={high}"


def arithmetic(values: Values) -> Example:
    rng = values.rng
    plus = values.chance(0.5)
    chinese = values.chance(0.5)
    while True:
        a, b = rng.randint(0, 99), rng.randint(0, 99)
        if values.chance(0.7):
            a, b = rng.randint(10, 99), rng.randint(10, 99)
        elif values.chance(0.5):
            a, b = rng.randint(0, 20), rng.randint(0, 9)
        if not plus and a < b:
            a, b = b, a
        if is_held_out(f"{a}{'+' if plus else '-'}{b}") == values.held_out:
            break
    result = a + b if plus else a - b
    forms = (ADD_ZH if plus else SUB_ZH) if chinese else (ADD_EN if plus else SUB_EN)
    sign = "+" if plus else "-"
    question = values.pick(forms).format(a=a, b=b)
    chinese = any("一" <= char <= "鿿" for char in question)
    answer = f"<think>\n{steps(a, b, plus, chinese)}\n</think>\n\n{a} {sign} {b} = {result}"
    return Example("arithmetic", answer, [{"role": "user", "content": question}], expected=result)
