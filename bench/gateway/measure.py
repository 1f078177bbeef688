"""The measurements: windows of load, memory, open streams, and the split of Silica's cost."""

import dataclasses
import decimal
import threading
import time

import process
from load import Kind, Wrong, hold_streams, look, wrk
from silica import cost_of, price_of_prompt
from targets import Endpoint, start_mock

PLAIN = Kind("300 B")
STREAM = Kind("stream", stream=True)
BODIES = (PLAIN, Kind("20 KB", body_bytes=20_000), Kind("1 MB", body_bytes=1_000_000))
KINDS = (*BODIES, STREAM)
CONNECTIONS = (1, 32)
WARM_UP_SECONDS = 1
# Long enough that no stream of the open ones gets its second token.
LONG_GAP_MILLISECONDS = 3_600_000


@dataclasses.dataclass(frozen=True)
class Sample:
    """One window that counts. Times are in microseconds, `cpu` is for one request."""

    requests: int
    cpu: float
    rate: float
    p50: int
    p99: int


@dataclasses.dataclass(frozen=True)
class Void:
    """One window that does not count, and why."""

    reason: str


@dataclasses.dataclass
class Till:
    """What Silica must have charged for some calls, in CNY: at least, and at most."""

    least: decimal.Decimal = decimal.Decimal(0)
    most: decimal.Decimal = decimal.Decimal(0)

    def add(self, kind, requests, cut):
        """Counts calls that were answered; `cut` more may have been running when wrk hung up.

        Those are charged for their prompts, whose tokens Silica estimates: fewer than their bytes.
        """
        cost = cost_of(kind.stream)
        self.least += cost * requests
        self.most += cost * requests + cut * (cost + price_of_prompt(kind.body_bytes))


def window(endpoint, kind, connections, seconds, till=None):
    """Warms up, measures one window, and says what a request cost.

    CPU is read when the target has come to rest, so what it puts off until later counts.
    """
    till = till or Till()
    try:
        length = look(endpoint, kind)
        till.add(kind, 1, 0)
        warm_up = wrk(endpoint, kind, connections, WARM_UP_SECONDS)
        till.add(kind, warm_up.requests, connections)
        process.wait_for_rest(endpoint.pid)
        before = process.cpu_seconds(endpoint.pid)
        counted = wrk(endpoint, kind, connections, seconds)
        till.add(kind, counted.requests, connections)
        process.wait_for_rest(endpoint.pid)
        cpu = process.cpu_seconds(endpoint.pid) - before
    except (Wrong, OSError) as error:
        return Void(str(error))
    if counted.failed or warm_up.failed:
        return Void(f"{counted.failed + warm_up.failed} requests failed")
    if not counted.requests:
        return Void("no request was answered")
    if counted.bytes < length * counted.requests:
        return Void("answers were shorter than they should be")
    return Sample(
        requests=counted.requests,
        cpu=cpu * 1e6 / counted.requests,
        rate=counted.requests / counted.seconds,
        p50=counted.p50,
        p99=counted.p99,
    )


def windows(target, folder, upstream_port, seconds, say):
    """One round of one target: every kind of request at every number of connections."""
    endpoint = target.start(folder, upstream_port)
    results = {}
    try:
        for kind in KINDS:
            till = Till()
            before = target.balance() if hasattr(target, "balance") else None
            for connections in CONNECTIONS:
                result = window(endpoint, kind, connections, seconds, till)
                say(f"  {kind.name}, c={connections}: {result}")
                results[kind.name, connections] = result
            charged = None if before is None else before - target.balance()
            if charged is not None and not till.least <= charged <= till.most:
                wrong = Void(f"charged {charged} CNY instead of {till.least} to {till.most}")
                say(f"  {kind.name}: {wrong}")
                results |= {(kind.name, connections): wrong for connections in CONNECTIONS}
    finally:
        target.stop()
    return results


class Peak:
    """The most memory that a tree has resident while the block runs."""

    def __init__(self, pid):
        self.pid = pid
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._over.wait(0.2):
            self.bytes = max(self.bytes, process.resident_bytes(self.pid))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def memory(target, folder, upstream_port, seconds, after):
    """Resident bytes: idle, at the peak of load of every kind, and `after` seconds later."""
    endpoint = target.start(folder, upstream_port)
    try:
        time.sleep(5)
        idle = process.resident_bytes(endpoint.pid)
        failed = 0
        with Peak(endpoint.pid) as peak:
            for kind in KINDS:
                failed += wrk(endpoint, kind, max(CONNECTIONS), seconds).failed
        if failed:
            raise Wrong(f"{failed} requests failed")
        time.sleep(after)
        return {"idle": idle, "loaded": peak.bytes, "after": process.resident_bytes(endpoint.pid)}
    finally:
        target.stop()


def open_streams(target, folder, mock_binary, count):
    """Resident bytes that one open, silent stream takes."""
    mock, port = start_mock(mock_binary, folder.with_name(folder.name + "-mock"), LONG_GAP_MILLISECONDS)
    try:
        endpoint = target.start(folder, port)
        try:
            # Memory that any load takes once is not a stream's.
            wrk(endpoint, PLAIN, max(CONNECTIONS), 3)
            process.wait_for_rest(endpoint.pid)
            before = process.resident_bytes(endpoint.pid)
            held = hold_streams(endpoint, count, lambda: process.resident_bytes(endpoint.pid))
            return {"streams": count, "before": before, "per_stream": (held - before) / count}
        finally:
            target.stop()
    finally:
        mock.stop()


def split(target, folder, upstream_port, seconds, rounds, shuffle, say):
    """What each part of Silica costs, by leaving parts out.

    Returns the variants' samples, round by round, and the CPU of each thread by name, in
    microseconds a request, over the windows of the variant with everything on.
    """
    endpoint = target.start(folder, upstream_port)
    free = Endpoint(endpoint.pid, endpoint.port, "free", target.free_key)
    variants = {
        "health": (Endpoint(endpoint.pid, endpoint.port), Kind("health", path="/healthz", get=True)),
        "models": (free, Kind("models", path="/v1/models", get=True)),
        "free": (free, PLAIN),
        "limited": (Endpoint(endpoint.pid, endpoint.port, "limited", endpoint.key), PLAIN),
        "everything": (endpoint, PLAIN),
    }
    samples = {name: [] for name in variants}
    threads = []
    try:
        for number in range(rounds):
            for name in shuffle(variants):
                called, kind = variants[name]
                before = process.cpu_seconds_by_thread(endpoint.pid)
                sample = window(called, kind, max(CONNECTIONS), seconds)
                say(f"split, round {number + 1}, {name}: {sample}")
                samples[name].append(sample)
                if name == "everything" and isinstance(sample, Sample):
                    spent = process.cpu_seconds_by_thread(endpoint.pid)
                    spent.subtract(before)
                    total = sum(spent.values())
                    threads.append({thread: sample.cpu * cpu / total for thread, cpu in spent.items()})
    finally:
        target.stop()
    return {"samples": samples, "threads": threads}
