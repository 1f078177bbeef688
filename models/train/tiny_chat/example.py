"""One training or test example, before it is rendered through the chat template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Example:
    """A conversation and the answer the model should give.

    `answer` is the text after the generation prompt, without the end token.
    `expected` is what a scorer compares against; its type depends on the skill.
    A FIM example has no messages: it has `prefix`, `suffix` and the middle as `answer`.
    """

    skill: str
    answer: str
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    expected: Any = None
    prefix: str | None = None
    suffix: str | None = None
