"""The test examples. Standard library only, so that a server can be scored from anywhere."""

from __future__ import annotations

import random

from .arithmetic import arithmetic
from .example import Example
from .fim import fim
from .json_fill import json_fill
from .questions import question
from .talk import talk
from .tools import tool_call
from .values import Values

SKILLS = {"arithmetic": arithmetic, "questions": question, "json": json_fill, "tools": tool_call, "fim": fim, "talk": talk}


def held_out(skill: str, count: int, seed: int = 20250215) -> list[Example]:
    """Examples of a skill with values, phrasings and number pairs that training never draws."""
    values = Values(random.Random(f"{skill}{seed}"), held_out=True)
    return [SKILLS[skill](values) for _ in range(count)]
