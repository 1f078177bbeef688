"""Asks the exported model directly, with the server's default sampling. Needs torch and transformers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

from scoring import Reply
from tiny_chat.example import Example

BATCH = 25


class FrequencyPenalty(LogitsProcessor):
    """Subtracts the penalty for every time a token was generated; the prompt does not count."""

    def __init__(self, prompt_length: int, amount: float):
        self.prompt_length, self.amount = prompt_length, amount

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        generated = input_ids[:, self.prompt_length :]
        counts = torch.zeros_like(scores).scatter_add_(1, generated, torch.ones_like(generated, dtype=scores.dtype))
        return scores - self.amount * counts


class OfflineModel:
    def __init__(self, folder: Path, frequency_penalty: float = 0.5, greedy: bool = False):
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.frequency_penalty, self.greedy = frequency_penalty, greedy

    def prompt(self, example: Example) -> str:
        if example.prefix is not None:
            return f"<|fim_prefix|>{example.prefix}<|fim_suffix|>{example.suffix}<|fim_middle|>"
        return self.tokenizer.apply_chat_template(example.messages, tools=example.tools, add_generation_prompt=True, tokenize=False)

    def ask_all(self, examples: list[Example], max_tokens: int = 250) -> list[Reply]:
        replies = []
        for start in range(0, len(examples), BATCH):
            prompts = [self.prompt(example) for example in examples[start : start + BATCH]]
            inputs = self.tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
            length = inputs["input_ids"].shape[1]
            sampling = {"do_sample": False} if self.greedy else {"do_sample": True, "temperature": 0.7, "top_p": 0.7, "top_k": 50}
            with torch.inference_mode():
                output = self.model.generate(**inputs, **sampling, max_new_tokens=max_tokens,
                                             logits_processor=LogitsProcessorList([FrequencyPenalty(length, self.frequency_penalty)]))
            replies += [read(self.tokenizer.decode(row[length:], skip_special_tokens=True)) for row in output]
        return replies


def read(text: str) -> Reply:
    """Splits the raw text as the server does: thinking away, tool calls apart."""
    text = re.sub(r"^<think>.*?</think>\s*", "", text, flags=re.DOTALL)
    calls = []
    for block in re.findall(r"<tool_call>\s*(.*?)\s*</tool_call>", text, flags=re.DOTALL):
        try:
            call = json.loads(block)
            calls.append((call["name"], json.dumps(call["arguments"], ensure_ascii=False)))
        except (ValueError, KeyError, TypeError):
            continue
    return Reply(re.sub(r"<tool_call>.*", "", text, flags=re.DOTALL) if calls else text, calls)
