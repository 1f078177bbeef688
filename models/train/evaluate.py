"""Scores silica/tiny-chat on held-out examples, asked from a running server with its default sampling.

    python evaluate.py --base-url http://127.0.0.1:8080/v1 --api-key sk-...
    python evaluate.py --offline ../tiny-chat          # the same examples without a server; needs torch

Asking a server needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scoring import SCORERS, Reply
from tiny_chat.example import Example
from tiny_chat.held_out import held_out

# The least a release of the model must reach; "talk" is shown only.
WANTED = {"arithmetic": 0.80, "questions": 0.80, "fim": 0.70, "json": 0.60, "tools": 0.60}
TIMEOUT_SECONDS = 120


class Server:
    """A chat endpoint. No sampling field is sent, so the server's defaults apply."""

    def __init__(self, base_url: str, api_key: str, model: str):
        self.url, self.api_key, self.model = base_url.rstrip("/") + "/chat/completions", api_key, model

    def ask(self, example: Example) -> Reply:
        body: dict = {"model": self.model, "messages": example.messages or [{"role": "user", "content": ""}]}
        if example.tools:
            body["tools"] = example.tools
        if example.prefix is not None:
            body |= {"prefix": example.prefix, "suffix": example.suffix}
        request = urllib.request.Request(self.url, json.dumps(body).encode(), {
            "Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            message = json.load(response)["choices"][0]["message"]
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
        return Reply(message.get("content") or "", calls)

    def try_to_ask(self, example: Example) -> Reply:
        """A refused or broken answer counts as a wrong one, and is shown."""
        try:
            return self.ask(example)
        except urllib.error.HTTPError as error:
            return Reply(f"HTTP {error.code}: {error.read().decode(errors='replace')}")
        except (OSError, ValueError, LookupError) as error:
            return Reply(f"no answer: {error}")

    def ask_all(self, examples: list[Example], parallel: int) -> list[Reply]:
        with ThreadPoolExecutor(parallel) as pool:
            return list(pool.map(self.try_to_ask, examples))


def show_failure(example: Example, reply: Reply) -> None:
    asked = example.prefix + "▁" + example.suffix if example.prefix is not None else example.messages[-1]["content"]
    print(f"  asked:    {asked!r}\n  expected: {example.answer!r}\n  found:    {reply.content!r} {reply.tool_calls or ''}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://127.0.0.1:8080/v1")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--model", default="silica/tiny-chat")
    parser.add_argument("--offline", type=Path, help="folder of the exported model, asked directly")
    parser.add_argument("--frequency-penalty", type=float, default=0.5, help="offline only; the server has its own default")
    parser.add_argument("--greedy", action="store_true", help="offline only")
    parser.add_argument("--samples", type=int, default=100, help="examples of each skill")
    parser.add_argument("--skills", nargs="+", choices=list(SCORERS), default=list(SCORERS))
    parser.add_argument("--parallel", type=int, default=2, help="requests at a time")
    parser.add_argument("--failures", type=int, default=0, help="wrong answers to show for each skill")
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    arguments = parser.parse_args()
    if arguments.offline:
        from offline import OfflineModel

        offline = OfflineModel(arguments.offline, arguments.frequency_penalty, arguments.greedy)
        ask_all = offline.ask_all
    else:
        server = Server(arguments.base_url, arguments.api_key, arguments.model)
        ask_all = lambda examples: server.ask_all(examples, arguments.parallel)  # noqa: E731
    scores, missed = {}, []
    print(f"{'skill':<12}{'right':>8}{'of':>6}{'share':>8}{'wanted':>8}{'seconds':>9}")
    for skill in arguments.skills:
        examples, started = held_out(skill, arguments.samples), time.monotonic()
        replies = ask_all(examples)
        right = [SCORERS[skill](example, reply) for example, reply in zip(examples, replies)]
        share, wanted = sum(right) / len(right), WANTED.get(skill)
        scores[skill] = {"right": sum(right), "of": len(right), "share": share, "wanted": wanted}
        print(f"{skill:<12}{sum(right):>8}{len(right):>6}{share:>8.0%}{(f'{wanted:.0%}' if wanted else '-'):>8}{time.monotonic() - started:>9.1f}", flush=True)
        for example, reply in [pair for pair, good in zip(zip(examples, replies), right) if not good][: arguments.failures]:
            show_failure(example, reply)
        if wanted and share < wanted:
            missed.append(skill)
    if arguments.json:
        arguments.json.write_text(json.dumps(scores, indent=2) + "\n")
    raise SystemExit(f"below the wanted share: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
