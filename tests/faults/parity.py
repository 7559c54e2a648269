"""Ledger parity: thousands of mixed calls with faults against an upstream that counts for itself: `python -m tests.faults.parity`.

Every call that reached the upstream must have one row, every request one attempt, and every token that the upstream told in a whole
answer must be in the ledger once. (A busy server may refuse a call at the door, and a client may leave before it: then nothing was
begun.) Status 1 when anything differs.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from inferway.usage.queries import Place, UsageQuery
from inferway.usage.records import UsageRecord
from tests.http.kit import Gateway, running

KINDS: tuple[str, ...] = (
    *(("chat",) * 60 + ("stream",) * 12 + ("embed",) * 8 + ("two",) * 4),
    *(("once500",) * 6 + ("always500",) * 2 + ("limited",) * 3 + ("refused",) * 3 + ("cut", "leave")),
)
"""What the calls of a hundred are."""

_WIDTH = 48


@dataclass
class Told:
    """What the upstream counted: requests by kind, how often it saw each call, and the tokens of the answers that it sent whole."""

    requests: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    prompt: int = 0
    completion: int = 0


class CountingUpstream:
    """Speaks OpenAI's wire; what it does with a call stands in the call's own text."""

    def __init__(self) -> None:
        self.told = Told()
        self.port = 0

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serves in a thread of its own; gives its address."""
        loop, ready = asyncio.new_event_loop(), threading.Event()

        async def serve() -> asyncio.Server:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            return server

        def work() -> None:
            server = loop.run_until_complete(serve())
            loop.run_forever()
            server.close()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0.05))
            loop.close()

        thread = threading.Thread(target=work)
        thread.start()
        ready.wait(30)
        try:
            yield f"http://127.0.0.1:{self.port}/v1"
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
                body = json.loads(await reader.readexactly(length))
                if not await self._answer(body, writer):
                    break

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Answers one request; False ends the connection."""
        text = body["input"][0] if isinstance(body.get("input"), list) else body.get("input")
        text = text or body["messages"][-1]["content"]
        kind = str(text).partition(" ")[0]
        told = self.told
        told.requests += 1
        told.seen[str(text)] += 1
        usage = _usage(str(text), is_embedding="input" in body)
        if kind in ("once500", "always500") and (kind == "always500" or told.seen[str(text)] == 1):
            writer.write(_http(500, b'{"error":{"message":"no"}}'))
        elif kind == "limited" and told.seen[str(text)] == 1:
            writer.write(
                _http(429, b'{"error":{"message":"slow","code":"rate_limit_exceeded"}}', "retry-after: 0")
            )
        elif kind == "refused":
            writer.write(_http(400, b'{"error":{"message":"no","type":"invalid_request_error"}}'))
        elif kind == "cut":
            writer.write(_http(200, _completion(usage))[:-20])
            return False
        elif kind == "leave":
            await asyncio.sleep(5)
            return False
        else:
            answer = _embedding(usage) if "input" in body else _completion(usage)
            writer.write(_stream(usage) if body.get("stream") else _http(200, answer))
            await writer.drain()
            told.prompt += usage["prompt_tokens"]
            told.completion += usage.get("completion_tokens", 0)
        await writer.drain()
        return True


def _usage(text: str, *, is_embedding: bool) -> dict[str, int]:
    draw = random.Random(text)
    prompt, completion = draw.randrange(1, 3000), draw.randrange(1, 500)
    if is_embedding:
        return {"prompt_tokens": prompt, "total_tokens": prompt}
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _completion(usage: dict[str, int]) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "model": "gpt-4o", "choices": [choice], "usage": usage}).encode()


def _embedding(usage: dict[str, int]) -> bytes:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.5]}]
    return json.dumps({"object": "list", "model": "m", "data": data, "usage": usage}).encode()


def _stream(usage: dict[str, int]) -> bytes:
    said = {"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]}
    ended = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = [
        json.dumps({"id": "c", "model": "gpt-4o"} | each)
        for each in (said, ended, {"choices": [], "usage": usage})
    ]
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def run(calls: int, folder: Path) -> dict[str, tuple[int, int]]:
    """Makes the calls and says what the ledger holds beside what the upstream counted, by name."""
    upstream = CountingUpstream()
    with upstream.running() as url:
        limits = {f"INFERWAY_LIMITS__{name}": "0" for name in ("PER_SECOND", "PER_MINUTE", "CONCURRENT")}
        with running(folder, OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=url, **limits) as gateway:
            asyncio.run(_make(gateway, calls, upstream.told))
            rows = asyncio.run(_rows(gateway, calls))
    attempts = [attempt for row in rows for attempt in row.itemized()]
    usages = [each.usage for each in attempts if each.usage is not None and each.usage.source == "provider"]
    told = upstream.told
    return {
        "rows and calls seen": (
            sum(bool(row.attempts) for row in rows),
            len({text.removesuffix(" again") for text in told.seen}),
        ),
        "attempts and requests": (len(attempts), told.requests),
        "prompt tokens": (
            sum(each.input + each.cached_read + each.cache_write for each in usages),
            told.prompt,
        ),
        "completion tokens": (sum(each.output + each.reasoning for each in usages), told.completion),
        "records and their ids": (len({row.record_id for row in rows}), len(rows)),
    }


async def _make(gateway: Gateway, calls: int, told: Told) -> None:
    draw = random.Random(5)
    kinds = [draw.choice(KINDS) for _ in range(calls)]
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            await _call(gateway, kinds[number], number, told)

    await asyncio.gather(*(work() for _ in range(_WIDTH)))


async def _call(gateway: Gateway, kind: str, number: int, told: Told) -> None:
    text = f"{kind} {number}"
    fields: dict[str, Any] = {"provider": "openai", "model": "gpt-4o", "inputs": {"prompts": [text]}}
    if kind == "embed":
        fields |= {"model": "text-embedding-3-small", "inputs": {"texts": [text]}}
    elif kind == "two":
        fields["inputs"] = {"prompts": [text, text + " again"]}
    elif kind == "stream":
        fields["stream"] = True
    body = json.dumps(fields).encode()
    names = gateway.headers() | {"host": "x", "content-length": str(len(body)), "connection": "close"}
    head = "POST /v1/inference HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in names.items()
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head.encode() + b"\r\n" + body)
    await writer.drain()
    if kind == "leave":
        # Only what has reached the upstream can be counted there.
        ends = time.monotonic() + 20
        while text not in told.seen and time.monotonic() < ends:
            await asyncio.sleep(0.02)
    else:
        await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _rows(gateway: Gateway, calls: int) -> list[UsageRecord]:
    """All rows, once they have come or nothing more comes."""
    (organization,) = await gateway.app.directory.list_organizations()
    now = datetime.now(UTC)
    query = UsageQuery(
        organization_id=organization.organization_id,
        start=now - timedelta(days=1),
        end=now + timedelta(days=1),
    )
    ends = time.monotonic() + 30
    while True:
        rows: list[UsageRecord] = []
        while page := await gateway.app.ledger.scan(query, Place.behind(rows[-1]) if rows else None):
            rows += page
        if len(rows) >= calls or time.monotonic() > ends:
            return rows
        await asyncio.sleep(0.2)


def main() -> None:
    """Prints both counts; status 1 when they differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.parity", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(asked.calls, Path(folder))
    for name, (ledger, counted) in found.items():
        sys.stdout.write(
            f"{name:24} {ledger:>12,} {counted:>12,} {'equal' if ledger == counted else 'DIFFERENT'}\n"
        )
    if any(ledger != counted for ledger, counted in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
