"""Clients that hang up at any moment: the upstream is told within a second, and every call that went out is recorded."""

import asyncio
import contextlib
import json
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, run, tell

_AT_ONCE = 25
_PATIENCE_LEAST_S = 0.3
_TIMES = 2.0
_GIVE_UP_S = 30.0


class Silent:
    """An upstream that takes every call and answers none; it notes who was asked, and when each connection ended."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            name = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
            self.asked.append(name)
            await reader.read()
            self.ended[name] = time.monotonic()
        writer.close()


async def measure(asked: Asked) -> None:
    """Half of the calls are streams; each client leaves at some moment, mostly after its call has reached the upstream."""
    count = 100 if asked.short else 500
    chance = random.Random(asked.seed)
    silent = Silent()
    upstream = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    env = {"OPENAI_API_KEY": "sk-upstream-key", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
    left: dict[str, float] = {}
    with TemporaryDirectory() as folder, serving(Path(folder), **env) as served:
        gate = asyncio.Semaphore(_AT_ONCE)
        longest_s = await _patience_s(served, silent)
        async with asyncio.TaskGroup() as clients:
            for number in range(count):
                clients.create_task(
                    _abort(served, f"call-{number}", chance.uniform(0, longest_s), gate, left)
                )
        await asyncio.sleep(2.0)
        after = await Line(served.port).call(request_bytes("/v1/health", {}, method="GET"))
        records = await asyncio.to_thread(_records, Path(folder), len(silent.asked))
    upstream.close()
    late = [max(0.0, silent.ended.get(name, 1e9) - left[name]) for name in silent.asked]
    told = Counter(records[name] for name in silent.asked if name in records)
    tell(
        asked,
        f"{count} clients that hang up: until the upstream is hung up on",
        f"{max(late):.2f} s at most ({len(silent.asked)} calls had reached it)",
        "1 s",
        passed=max(late) <= 1.0 and len(silent.asked) > count // 4,
        is_random=True,
    )
    tell(
        asked,
        f"{count} clients that hang up: records of the calls that went out",
        f"{told['client_disconnected']} of {len(silent.asked)} client_disconnected",
        "all",
        passed=told["client_disconnected"] == len(silent.asked) and after.status == 200,
        is_random=True,
    )


async def _patience_s(served: Served, silent: Silent) -> float:
    """How long the most patient client waits: longer than calls need to reach the upstream on this machine now, as many at once."""
    began = time.monotonic()
    writers = [await _call(served, f"first-{number}") for number in range(_AT_ONCE)]
    while len(silent.asked) < _AT_ONCE and time.monotonic() - began < _GIVE_UP_S:
        await asyncio.sleep(0.005)
    took_s = time.monotonic() - began
    for writer in writers:
        writer.transport.abort()
    silent.asked.clear()
    return max(_PATIENCE_LEAST_S, _TIMES * took_s)


async def _abort(
    served: Served, name: str, after_s: float, gate: asyncio.Semaphore, left: dict[str, float]
) -> None:
    async with gate:
        writer = await _call(served, name)
        await asyncio.sleep(after_s)
        left[name] = time.monotonic()
        writer.transport.abort()


async def _call(served: Served, name: str) -> asyncio.StreamWriter:
    body = {
        "provider": "openai",
        "model": "m",
        "inputs": {"prompts": [name]},
        "stream": int(name[-1]) % 2 == 0,
    }
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    headers = served.headers() | {"X-Request-Id": name}
    writer.write(request_bytes("/v1/inference", headers, json.dumps(body).encode()))
    return writer


def _records(folder: Path, count: int) -> dict[str, str]:
    """Statuses by request id, once there are as many as calls went out, or after ten seconds."""
    ends = time.monotonic() + 10
    while True:
        with contextlib.closing(sqlite3.connect(folder / "inferway.db", timeout=10)) as database:
            found = dict(database.execute("SELECT request_id, status FROM usage").fetchall())
        if len(found) >= count or time.monotonic() > ends:
            return found
        time.sleep(0.2)


if __name__ == "__main__":
    run("aborts", measure)
