"""Two hundred slow clients of five kinds: each is closed in time, and the others are served as if they were not there."""

import asyncio
import contextlib
import json
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, fake_call, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, note, run, tell
from tests.faults.programs import go_first

_CLIENTS = 200
_RATE = 50.0
_SLACK_S = 1.5
"""Deadlines are looked at twice a second."""
_KINDS = ("silent", "half headers", "dripped headers", "half body", "slow read")


async def measure(asked: Asked) -> None:
    """First windows with and without them in turns, then how long each is kept."""
    if not asked.short:
        go_first()
    rounds, window_s, header_s, body_s = (4, 3.0, 4.0, 6.0) if asked.short else (10, 5.0, 10.0, 30.0)
    limits = {f"INFERWAY_LIMITS__{each}": "0" for each in ("PER_MINUTE", "PER_SECOND", "CONCURRENT")}
    with (
        TemporaryDirectory() as folder,
        serving(
            Path(folder),
            **limits,
            INFERWAY_SERVER__HEADER_TIMEOUT_S=str(header_s),
            INFERWAY_SERVER__BODY_TIMEOUT_S=str(body_s),
        ) as served,
    ):
        await _latencies(served, 2.0)
        quiet, slow = [], []
        for number in range(rounds):
            quiet.append(await _latencies(served, window_s))
            async with _slow_clients(served):
                slow.append(await _latencies(served, min(window_s, header_s - 1.5)))
            note(f"round {number + 1}: p99 {_p99(quiet[-1]):.1f} ms alone, {_p99(slow[-1]):.1f} ms with them")
        _judge(asked, quiet, slow)
        kept = await _kept(served)
    for kind in _KINDS:
        limit_s = body_s if kind in ("half body", "slow read") else header_s
        longest_s = max(kept[kind])
        tell(
            asked,
            f"slow clients ({kind}): closed after",
            f"{min(kept[kind]):.1f} to {longest_s:.1f} s ({len(kept[kind])} clients)",
            f"{limit_s:g} s, looked at twice a second",
            passed=longest_s <= limit_s + _SLACK_S,
        )


def _judge(asked: Asked, quiet: list[list[float]], slow: list[list[float]]) -> None:
    alone, beside = [_p99(each) for each in quiet], [_p99(each) for each in slow]
    moved = statistics.median(beside) / statistics.median(alone) - 1
    middle = (
        statistics.median(map(statistics.median, quiet)),
        statistics.median(map(statistics.median, slow)),
    )
    quartiles = statistics.quantiles(alone, n=4)
    noise = (quartiles[2] - quartiles[0]) / statistics.median(alone)
    tell(
        asked,
        f"slow clients ×{_CLIENTS}: p99 of healthy calls moves",
        f"{moved:+.0%} ({statistics.median(alone):.1f} ms alone, {statistics.median(beside):.1f} ms beside them, medians of "
        f"{len(alone)} windows each in turns; p50 {middle[0]:.1f} and {middle[1]:.1f} ms; windows alone differ by {noise:.0%})",
        "10 % or less, or less than quiet windows differ among themselves (their quartiles)",
        passed=moved <= max(0.10, noise),
    )


def _p99(times_ms: list[float]) -> float:
    return statistics.quantiles(times_ms, n=100, method="inclusive")[98]


async def _latencies(served: Served, seconds: float) -> list[float]:
    """Milliseconds of healthy calls at a fixed rate, each from the moment at which it was due."""
    request = request_bytes("/v1/inference", served.headers(), json.dumps(fake_call()).encode())
    lines = [Line(served.port) for _ in range(8)]
    found: list[float] = []
    free: asyncio.Queue[Line] = asyncio.Queue()
    for line in lines:
        free.put_nowait(line)

    async def call(due: float) -> None:
        line = await free.get()
        reply = await line.call(request)
        free.put_nowait(line)
        assert reply.status == 200, (reply.status, reply.broke, reply.body[:200])
        found.append((time.perf_counter() - due) * 1000)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as calls:
        for number in range(int(_RATE * seconds)):
            due = started + number / _RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            calls.create_task(call(due))
    for line in lines:
        line.close()
    return found


@contextlib.asynccontextmanager
async def _slow_clients(served: Served) -> AsyncIterator[None]:
    """All of them are connected and have sent what they send."""
    kinds = [_KINDS[n % len(_KINDS)] for n in range(_CLIENTS)]
    ready = asyncio.Semaphore(0)
    readers = kinds.count("slow read")
    holders = [asyncio.create_task(_hold(served, "slow read", ready)) for _ in range(readers)]
    for _ in range(readers):
        await ready.acquire()  # its answer has begun: making it is no part of what is measured
    holders += [asyncio.create_task(_hold(served, kind)) for kind in kinds if kind != "slow read"]
    await asyncio.sleep(0.7)
    try:
        yield
    finally:
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)


async def _kept(served: Served) -> dict[str, list[float]]:
    """Seconds until each was closed, by kind."""
    kinds = [_KINDS[n % len(_KINDS)] for n in range(_CLIENTS)]
    found = await asyncio.gather(*(_hold(served, kind) for kind in kinds))
    kept = defaultdict(list)
    for kind, seconds in zip(kinds, found, strict=True):
        kept[kind].append(seconds)
    return kept


async def _hold(served: Served, kind: str, ready: asyncio.Semaphore | None = None) -> float:
    """One slow client until the server closes it; the seconds that took. A slow reader says when its answer begins."""
    connection = socket.socket()
    connection.setblocking(False)
    if kind == "slow read":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(connection, ("127.0.0.1", served.port))
        began = time.monotonic()
        await loop.sock_sendall(connection, _sent(served, kind))
        if kind == "slow read":
            await loop.sock_recv(connection, 1)
            if ready is not None:
                ready.release()
            return await _read_slowly(connection, time.monotonic())
        dripping = asyncio.create_task(_drip(connection)) if kind == "dripped headers" else None
        with contextlib.suppress(OSError):
            while await loop.sock_recv(connection, 4096):
                pass
        if dripping is not None:
            dripping.cancel()
        return time.monotonic() - began
    finally:
        connection.close()


def _sent(served: Served, kind: str) -> bytes:
    if kind == "silent":
        return b""
    if kind == "half body":
        return served.head("Content-Length: 1000") + b'{"provider": '
    if kind == "slow read":
        model = "fake-embed?dimensions=1024"
        body = {"provider": "fake", "model": model, "inputs": {"texts": [f"text {n}" for n in range(300)]}}
        return request_bytes("/v1/inference", served.headers(), json.dumps(body).encode())
    return b"GET /v1/health HTTP/1.1\r\nHost: gateway.test\r\nX-Long: "


async def _drip(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while True:
            await asyncio.sleep(0.5)
            await loop.sock_sendall(connection, b"x")


async def _read_slowly(connection: socket.socket, began: float) -> float:
    """Nothing is read: that the server gave up is seen at the socket itself."""
    while time.monotonic() - began < 120:
        await asyncio.sleep(0.1)
        # TCP_INFO begins with the state of the connection: anything but established (1) is its end.
        if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1:
            break
    return time.monotonic() - began


if __name__ == "__main__":
    run("slow", measure)
