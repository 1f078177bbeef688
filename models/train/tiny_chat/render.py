"""Renders an example to the text the model sees and the text it should produce. Needs jinja2."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import jinja2.sandbox

from .example import Example

TEMPLATE_PATH = Path(__file__).resolve().parent.parent / "chat_template.jinja"
END_OF_TURN = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"


def _template() -> jinja2.Template:
    # The same settings as transformers, so that what is trained is what `apply_chat_template` renders.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE_PATH.read_text().rstrip("\n"))


TEMPLATE = _template()


def render(example: Example, enable_thinking: bool = True) -> tuple[str, str]:
    """The prompt and the answer with its end token."""
    if example.prefix is not None:
        return f"<|fim_prefix|>{example.prefix}<|fim_suffix|>{example.suffix}<|fim_middle|>", example.answer + END_OF_TEXT
    extra = {} if enable_thinking else {"enable_thinking": False}
    prompt = TEMPLATE.render(messages=example.messages, tools=example.tools, add_generation_prompt=True, **extra)
    return prompt, example.answer + END_OF_TURN
