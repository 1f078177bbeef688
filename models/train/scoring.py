"""Says whether an answer is right. Standard library only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field

from tiny_chat.example import Example

RUN_SECONDS = 5


@dataclass
class Reply:
    """What came back for one example, in the terms of the chat API."""

    content: str = ""
    tool_calls: list[tuple[str, str]] = field(default_factory=list)


def arithmetic_is_right(example: Example, reply: Reply) -> bool:
    numbers = re.findall(r"\d+", reply.content)
    return bool(numbers) and int(numbers[-1]) == example.expected


def question_is_right(example: Example, reply: Reply) -> bool:
    return all(word in reply.content for word in example.expected)


def json_is_right(example: Example, reply: Reply) -> bool:
    try:
        return json.loads(reply.content) == example.expected
    except ValueError:
        return False


def call_is_right(example: Example, reply: Reply) -> bool:
    if len(reply.tool_calls) != 1:
        return False
    name, arguments = reply.tool_calls[0]
    try:
        return name == example.expected["name"] and json.loads(arguments) == example.expected["arguments"]
    except ValueError:
        return False


def function_is_right(example: Example, reply: Reply) -> bool:
    """Runs the completed function beside the true one, in a process of its own."""
    completed = example.prefix + reply.content + example.suffix
    program = (
        "import json, sys\n"
        "true_source, completed, calls = json.load(sys.stdin)\n"
        "expected, found = {}, {}\n"
        "exec(true_source, expected)\n"
        "exec(completed, found)\n"
        "sys.exit(0 if all(eval(call, expected) == eval(call, found) for call in calls) else 1)\n"
    )
    given = json.dumps([example.expected["source"], completed, example.expected["calls"]])
    try:
        ended = subprocess.run([sys.executable, "-I", "-c", program], input=given, text=True, capture_output=True, timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def text_is_same(example: Example, reply: Reply) -> bool:
    return reply.content.strip() == example.answer


SCORERS = {"arithmetic": arithmetic_is_right, "questions": question_is_right, "json": json_is_right,
           "tools": call_is_right, "fim": function_is_right, "talk": text_is_same}
