"""Checks of the generators, the template and the tokenizer: `python -m unittest` in this folder."""

from __future__ import annotations

import itertools
import json
import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from scoring import SCORERS, Reply
from tiny_chat.facts import FACTS
from tiny_chat.held_out import SKILLS, held_out
from tiny_chat.values import Values

FOLDER = Path(__file__).resolve().parent.parent / "tiny-chat"


def correct_reply(example) -> Reply:
    """The reply a perfect model would give, as a server would return it."""
    if example.skill == "tools":
        call = example.expected
        return Reply("", [(call["name"], json.dumps(call["arguments"]))])
    return Reply(example.answer.split("</think>\n\n")[-1])


class Generators(unittest.TestCase):
    def test_right_answers_score_and_wrong_ones_do_not(self):
        for skill in SKILLS:
            for example in held_out(skill, 60):
                self.assertTrue(SCORERS[skill](example, correct_reply(example)), (skill, example))
                self.assertFalse(SCORERS[skill](example, Reply("something else")), (skill, example))

    def test_held_out_prompts_are_never_trained(self):
        for skill in ("arithmetic", "questions", "json", "tools", "fim"):
            trained = Values(random.Random(3), held_out=False)
            seen = {repr((e.messages, e.prefix, e.suffix)) for e in (SKILLS[skill](trained) for _ in range(4000))}
            asked = {repr((e.messages, e.prefix, e.suffix)) for e in held_out(skill, 300)}
            self.assertFalse(seen & asked, skill)

    def test_held_out_sets_do_not_depend_on_the_process(self):
        self.assertEqual(held_out("tools", 20), held_out("tools", 20))
        self.assertNotEqual(held_out("tools", 20), held_out("tools", 20, seed=1))

    def test_every_answer_about_silica_holds_its_words(self):
        for words, english, english_answer, chinese, chinese_answer in FACTS:
            self.assertGreater(min(len(english), len(chinese)), 3)
            for word in words:
                self.assertIn(word, english_answer)
                self.assertIn(word, chinese_answer)


class Template(unittest.TestCase):
    """Needs transformers and the exported tokenizer."""

    @classmethod
    def setUpClass(cls):
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise unittest.SkipTest("transformers is not installed") from error
        cls.tokenizer = AutoTokenizer.from_pretrained(FOLDER)

    def chat(self, messages, **extra) -> str:
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **extra)

    def test_training_renders_what_transformers_renders(self):
        from tiny_chat.render import render

        for skill in ("arithmetic", "questions", "json", "tools", "talk"):
            values = Values(random.Random(5), held_out=False)
            for example in (SKILLS[skill](values) for _ in range(50)):
                for thinking in (True, False):
                    extra = {} if thinking else {"enable_thinking": False}
                    expected = self.chat(example.messages, tools=example.tools, add_generation_prompt=True, **extra)
                    self.assertEqual(render(example, thinking)[0], expected)

    def test_any_text_round_trips(self):
        rng = random.Random(1)
        ranges = [(32, 126), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF), (9, 13), (0x300, 0x36F), (0x3040, 0x30FF), (0x600, 0x6FF)]
        for _ in range(300):
            text = "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(40))
            self.assertEqual(self.tokenizer.decode(self.tokenizer(text)["input_ids"]), text)

    def test_digits_and_json_marks_are_single_tokens(self):
        for text in "0123456789{}[]\":,":
            self.assertEqual(len(self.tokenizer(text)["input_ids"]), 1)
        self.assertEqual(len(self.tokenizer("2048")["input_ids"]), 4)

    def test_decoding_keeps_think_and_tool_tags_only(self):
        text = "<|im_start|><think>a</think><tool_call>b</tool_call><|fim_middle|><|im_end|>"
        tokens = self.tokenizer(text)["input_ids"]
        self.assertEqual(self.tokenizer.decode(tokens, skip_special_tokens=True), "<think>a</think><tool_call>b</tool_call>")

    def test_tool_turns(self):
        arguments = {"b": 1, "a": "é<"}
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps(arguments, ensure_ascii=False)}}
        messages = [{"role": "user", "content": [{"type": "text", "text": "go"}, {"type": "text", "text": "!"}]},
                    {"role": "assistant", "content": None, "tool_calls": [call, call], "reasoning_content": "hm"},
                    {"role": "tool", "tool_call_id": "1", "content": "2"}, {"role": "tool", "tool_call_id": "1", "content": "3"}]
        said = '<tool_call>\n{"name": "f", "arguments": {"b": 1, "a": "é<"}}\n</tool_call>'
        expected = (f"<|im_start|>user\ngo!<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\n{said}\n{said}<|im_end|>\n"
                    "<|im_start|>user\n<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response><|im_end|>\n")
        self.assertEqual(self.chat(messages), expected)
        call["function"]["arguments"] = arguments
        self.assertEqual(self.chat(messages), expected)

    def test_reasoning_of_plain_turns_is_dropped(self):
        messages = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2", "reasoning_content": "hm"}]
        self.assertEqual(self.chat(messages), "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n")


class Penalty(unittest.TestCase):
    """Needs torch."""

    def test_counts_only_earlier_tokens_of_the_same_answer(self):
        try:
            import torch

            import train
        except ImportError as error:
            raise unittest.SkipTest("torch is not installed") from error
        chosen = random.Random(0)
        chosen.random = lambda: 0.0
        taken = train.penalty(torch.tensor([1, 1, 2, 1, 2]), torch.tensor([3, 2]), 3, chosen)
        self.assertEqual(taken.tolist(), [[0, 0, 0], [0, 0.5, 0], [0, 1.0, 0], [0, 0, 0], [0, 0.5, 0]])


class Training(unittest.TestCase):
    def test_texts_differ_with_the_seed(self):
        try:
            from tiny_chat.mix import training_texts
        except ImportError as error:
            raise unittest.SkipTest("jinja2 is not installed") from error
        first, second, again = (list(itertools.islice(training_texts(seed), 20)) for seed in (1, 2, 1))
        self.assertEqual(first, again)
        self.assertNotEqual(first, second)


if __name__ == "__main__":
    unittest.main()
