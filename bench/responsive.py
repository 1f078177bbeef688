#!/usr/bin/env python3
"""Does a busy embedded engine delay the rest of the server? See bench/README.md for the method."""

import argparse
import contextlib
import dataclasses
import http.client
import itertools
import json
import math
import multiprocessing
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "gateway"))
sys.path.insert(1, str(HERE))

import report
from silica import NO_LIMITS, Silica
from targets import start_mock

SHAPE = "qwen2.5-0.5b"
MODEL = f"bench/random-{SHAPE}"
CHAT = "/v1/chat/completions"
# Milliseconds between two chunks of the remote stream.
PACE = 10
# Milliseconds that 99 of 100 waits must stay below.
PROMISE = 50
STREAMS = 8
# Seconds between two questions of the probe of /v1/models.
EVERY = 0.01


def say(line):
    print(line, file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long is measured under load (60)")
    parser.add_argument("--idle-seconds", type=int, default=10, help="how long is measured before it (10)")
    parser.add_argument("--prompt", type=int, default=500, help="tokens of each long prompt (500)")
    parser.add_argument("--threads", type=int, help="threads of the engine (its default: cores minus one)")
    parser.add_argument("--silica", type=Path, help="measure this binary instead of building one")
    parser.add_argument("--mock", type=Path, help="use this mock instead of building one")
    parser.add_argument("--folder", type=Path, help="where the model is kept (target/bench/engine)")
    parser.add_argument("--write", action="store_true", help="write the table into bench/README.md")
    return parser.parse_args()


def target():
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()


def build(arguments):
    """The two binaries, and the model's folder."""
    if not (arguments.silica and arguments.mock):
        say("building Silica and the mock (profile release)")
        packages = ["-p", "silica-server", "--bin", "silica", "-p", "silica-testkit", "--bin", "silica-bench-mock"]
        subprocess.run(["cargo", "build", "--release", "--locked", *packages], cwd=ROOT, check=True)
    model = (arguments.folder or target() / "bench" / "engine").absolute() / SHAPE
    if not (model / "model.safetensors").exists():
        say(f"writing random weights in the shape of {SHAPE}")
        command = ["cargo", "run", "--quiet", "--release", "--locked", "--package", "xtask", "--", "random-model"]
        subprocess.run([*command, "--shape", SHAPE, "--dtype", "f32", "--out", model], cwd=ROOT, check=True)
    release = target() / "release"
    silica, mock = arguments.silica or release / "silica", arguments.mock or release / "silica-bench-mock"
    return silica.resolve(), mock.resolve(), model


class Embedded(Silica):
    """The server of the gateway benchmark with an embedded model beside the remote one."""

    def __init__(self, binary, model, threads):
        super().__init__(binary)
        self.model = model
        self.threads = threads

    def environment(self):
        return {"SILICA__ENGINE__THREADS": str(self.threads)} if self.threads else {}

    def start(self, folder, upstream_port):
        models = folder / "models"
        models.mkdir(parents=True)
        (models / SHAPE).symlink_to(self.model)
        endpoint = super().start(folder, upstream_port)
        unlimited = {"id": MODEL, "type": "text", "sub_type": "chat", "limits": NO_LIMITS}
        self.admin("PUT", "/models", unlimited)
        return endpoint


@contextlib.contextmanager
def answering(port, key, body):
    """A chat's answer, while it comes.

    Raises RuntimeError when it is refused.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection.request("POST", CHAT, json.dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.read().decode()[:200]}")
    try:
        yield answer
    finally:
        connection.close()


def chat(model, content, **more):
    return {"model": model, "messages": [{"role": "user", "content": content}]} | more


def keep_decoding(port, key, number, tokens):
    """One stream after the other; each frame is a token or more."""
    for count in itertools.count():
        body = chat(MODEL, f"Stream {number}, answer {count}", stream=True, max_tokens=1024)
        with answering(port, key, body) as answer:
            for line in answer:
                if line.startswith(b"data: {"):
                    with tokens.get_lock():
                        tokens.value += 1


def keep_prefilling(port, key, prompts, length):
    """One long prompt after the other; the random model's tokenizer makes a token of each byte."""
    for count in itertools.count():
        text = f"{count} is the number of this prompt, which no other begins with. "
        content = (text * (length // len(text) + 1))[:length]
        with answering(port, key, chat(MODEL, content, max_tokens=1)) as answer:
            answer.read()
        with prompts.get_lock():
            prompts.value += 1


class Load:
    """Keeps the embedded engine busy, from processes of their own."""

    def __init__(self, port, key, prompt):
        self.tokens, self.prompts = multiprocessing.Value("q"), multiprocessing.Value("q")
        jobs = [(keep_decoding, (port, key, number, self.tokens)) for number in range(STREAMS)]
        jobs.append((keep_prefilling, (port, key, self.prompts, prompt)))
        self.processes = [multiprocessing.Process(target=job, args=rest, daemon=True) for job, rest in jobs]

    def start(self):
        """Returns once every stream must have begun."""
        for process in self.processes:
            process.start()
        end = time.monotonic() + 120
        while self.tokens.value < 4 * STREAMS:
            self.check()
            if time.monotonic() > end:
                raise RuntimeError("the embedded engine produces no tokens")
            time.sleep(0.1)

    def check(self):
        """Raises RuntimeError when a part of the load has ended: the run is void then."""
        if not all(process.is_alive() for process in self.processes):
            raise RuntimeError("a request of the load failed; its reason stands above")

    def stop(self):
        for process in filter(lambda process: process.pid, self.processes):
            process.kill()
            process.join()


class Probe(threading.Thread):
    """Does one thing again and again until the end, and keeps the times it took."""

    def __init__(self, seconds, action):
        super().__init__(daemon=True)
        self.end = time.monotonic() + seconds
        self.action = action
        self.times = []
        self.fault = None

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.action(self)
        except Exception as fault:  # told by `result`, in the thread that asks
            self.fault = fault

    def result(self):
        self.join()
        if self.fault:
            raise RuntimeError(f"a probe failed: {self.fault}") from self.fault
        return Waits(sorted(self.times))


@dataclasses.dataclass(frozen=True)
class Waits:
    """Milliseconds, in ascending order."""

    times: list

    def percentile(self, percent):
        """The nearest rank: a value that occurred."""
        return self.times[max(0, math.ceil(len(self.times) * percent / 100) - 1)]

    def cells(self):
        figures = [self.percentile(50), self.percentile(99), self.times[-1]]
        return f"{len(self.times):,}", " / ".join(report.number(figure, 1) for figure in figures)


def asking_for_models(port, key):
    """GET /v1/models on one connection, by a schedule: a question that is due while the one before
    is not answered has waited since then, so a pause of the server counts for all that it held up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    due = None

    def ask(probe):
        nonlocal due
        now = time.perf_counter()
        due = now if due is None else due + EVERY
        if due > now:
            time.sleep(due - now)
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        answer.read()
        probe.times.append((time.perf_counter() - due) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"GET /v1/models: {answer.status}")

    return ask


def reading_a_stream(port, key):
    """One stream of the mock after the other: how much longer than the pace each chunk took."""

    def read(probe):
        with answering(port, key, chat("mock", "Tell me about the quick brown fox.", stream=True)) as answer:
            before = None
            for line in answer:
                if b'"content":' not in line or b'"finish_reason":null' not in line:
                    continue
                now = time.perf_counter()
                if before is not None:
                    probe.times.append(max(0.0, (now - before) * 1000 - PACE))
                before = now
                if time.monotonic() > probe.end:
                    return

    return read


def measure(endpoint, mock_port, seconds):
    """The three probes at the same time."""
    probes = [
        Probe(seconds, asking_for_models(endpoint.port, endpoint.key)),
        Probe(seconds, reading_a_stream(endpoint.port, endpoint.key)),
        Probe(seconds, reading_a_stream(mock_port, None)),
    ]
    for probe in probes:
        probe.start()
    return [probe.result() for probe in probes]


def render(about, rows, load):
    header = [
        "embedded engine", "probes", "GET /v1/models p50 / p99 / most, ms", "chunks",
        "remote stream, beyond the pace: p50 / p99 / most, ms", "without Silica, ms",
    ]
    lines = []
    for name, (models, stream, direct) in rows:
        lines.append([name, *models.cells(), *stream.cells(), direct.cells()[1]])
    busy = rows[-1][1]
    worst = max(waits.percentile(99) for waits in busy[:2])
    verdict = "kept" if worst < PROMISE else "**broken**"
    return "\n\n".join([about, report.markdown(header, lines), f"{load} The promise, p99 below {PROMISE} ms, is {verdict}."]) + "\n"


def main():
    arguments = parse()
    heading = report.heading(shlex.join(["bench/responsive.py", *sys.argv[1:]]))
    silica_binary, mock_binary, model = build(arguments)
    with tempfile.TemporaryDirectory(prefix="silica-bench-") as name:
        folder = Path(name)
        mock, mock_port = start_mock(mock_binary, folder / "mock", PACE, 500)
        silica = Embedded(silica_binary, model, arguments.threads)
        try:
            endpoint = silica.start(folder / "silica", mock_port)
            load = Load(endpoint.port, silica.free_key, arguments.prompt)
            try:
                say("idle")
                rows = [("idle", measure(endpoint, mock_port, arguments.idle_seconds))]
                say("busy")
                load.start()
                tokens, prompts, started = load.tokens.value, load.prompts.value, time.monotonic()
                rows.append(("busy", measure(endpoint, mock_port, arguments.seconds)))
                load.check()
                seconds = time.monotonic() - started
                frames, prompts = load.tokens.value - tokens, load.prompts.value - prompts
            finally:
                load.stop()
                silica.stop()
        finally:
            mock.stop()
    threads = arguments.threads or max(1, (os.cpu_count() or 1) - 1)
    if not prompts:
        say("no long prompt was finished: take a shorter one (--prompt) or more time (--seconds)")
    did = (
        f"Meanwhile the embedded model ({SHAPE} of random weights in f32, engine threads: {threads}) sent "
        f"{frames} frames on {STREAMS} streams in {seconds:.0f} s and finished {prompts} prompts of {arguments.prompt} tokens "
        f"beside them ({prompts * arguments.prompt:,} tokens; one that was not finished counts nothing), one after the "
        "other all the time."
    )
    text = render(f"{heading}.", rows, did)
    print(text)
    if arguments.write:
        report.write_between_markers("bench-responsive", text)


if __name__ == "__main__":
    main()
