"""Load: wrk for windows, plain sockets for streams that stay open, and a look at one answer."""

import asyncio
import dataclasses
import http.client
import json
import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CHAT_PATH = "/v1/chat/completions"
# In seconds, for each of the streams that are held open.
FIRST_TOKEN_LIMIT = 60
STREAM_TEXT = "".join(f"tok{index} " for index in range(50))


class Wrong(Exception):
    """An answer that is not what the mock sent."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the requests of a window are like."""

    name: str
    body_bytes: int = 300
    stream: bool = False
    path: str = CHAT_PATH
    get: bool = False


@dataclasses.dataclass(frozen=True)
class Window:
    """What wrk counted. Times are in microseconds."""

    requests: int
    seconds: float
    bytes: int
    p50: int
    p99: int
    failed: int


def wrk(endpoint, kind, connections, seconds):
    """Keeps `connections` requests running for some seconds."""
    environment = {"PATH": os.environ["PATH"], "MODEL": endpoint.model, "BODY_BYTES": str(kind.body_bytes)}
    environment |= {"KEY": endpoint.key} if endpoint.key else {}
    environment |= {"STREAM": "1"} if kind.stream else {}
    environment |= {"GET": "1"} if kind.get else {}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "60s", "-s", HERE / "chat.lua"]
    url = f"http://127.0.0.1:{endpoint.port}{kind.path}"
    done = subprocess.run([*command, url], env=environment, capture_output=True, text=True, check=False)
    line = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or not line:
        raise Wrong(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    numbers = dict(pair.split("=") for pair in line[1].split())
    return Window(**{field.name: field.type(numbers[field.name]) for field in dataclasses.fields(Window)})


def _request(endpoint, body):
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
    connection.request("POST", CHAT_PATH, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise Wrong(f"{answer.status} {text[:200]}")
    return text


def look(endpoint, kind):
    """Calls once and checks the whole answer; returns its length in bytes.

    wrk reads no bodies. A window whose answers are shorter than this one is void.
    """
    if kind.get:
        return 0
    words = "Tell me about the quick brown fox. "
    content = (words * (kind.body_bytes // len(words) + 1))[: kind.body_bytes]
    body = {"model": endpoint.model, "messages": [{"role": "user", "content": content}], "max_tokens": 64}
    if not kind.stream:
        text = _request(endpoint, body)
        message = json.loads(text)["choices"][0]["message"]["content"]
        if not message.startswith("The quick brown fox"):
            raise Wrong(f"answered {message!r}")
        return len(text)
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    text = _request(endpoint, body)
    frames = re.findall(r"^data: ?(.*)$", text, re.MULTILINE)
    choices = [choice for frame in frames[:-1] for choice in json.loads(frame)["choices"]]
    said = "".join(choice["delta"].get("content") or "" for choice in choices)
    if said != STREAM_TEXT or frames[-1] != "[DONE]":
        raise Wrong(f"streamed {len(frames)} frames, the last of which is {frames[-1]!r}")
    return len(text)


async def _open_stream(endpoint, request, gate):
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(request)
        begin = await asyncio.wait_for(reader.readuntil(b"tok0 "), FIRST_TOKEN_LIMIT)
        if not begin.startswith(b"HTTP/1.1 200"):
            raise Wrong(begin.splitlines()[0].decode())
        return reader, writer


async def _hold(endpoint, count, opened):
    body = json.dumps({
        "model": endpoint.model,
        "stream": True,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Tell me about the quick brown fox, and take your time."}],
    })
    authorization = f"Authorization: Bearer {endpoint.key}\r\n" if endpoint.key else ""
    request = (
        f"POST {CHAT_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    gate = asyncio.Semaphore(64)
    opening = [asyncio.create_task(_open_stream(endpoint, request, gate)) for _ in range(count)]
    streams = []
    try:
        streams = await asyncio.gather(*opening)
        # What was needed for opening only has time to be given back.
        await asyncio.sleep(5)
        measured = opened()
        if any(reader.at_eof() for reader, _ in streams):
            raise Wrong("streams ended while they were idle")
        return measured
    finally:
        for task in opening:
            task.cancel()
        for _, writer in streams:
            writer.transport.abort()


def hold_streams(endpoint, count, opened):
    """Opens streams, waits for the first token of each, and returns what `opened` measures then."""
    try:
        return asyncio.run(_hold(endpoint, count, opened))
    except TimeoutError as error:
        raise Wrong(f"no first token within {FIRST_TOKEN_LIMIT} s") from error
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Wrong(f"{type(error).__name__}: {error}") from error
