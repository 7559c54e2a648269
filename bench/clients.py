"""Measures candidates for the upstream client against the mock upstream: CPU of the whole process per request.

`python -m bench.clients` runs every candidate that is installed in interleaved rounds, plain and with TLS (a throwaway certificate), and
prints medians. Candidates: `own` (providers/transport), `pyreqwest`, `aiohttp`. Run it with an interpreter that has all of them.
"""

import argparse
import asyncio
import json
import os
import resource
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from bench.machine import pin, spawn, throwaway_certificate, wait_for_port
from inferway.providers.base import WireRequest
from inferway.providers.transport import HttpTransport
from inferway.types import Deadline

CHAT = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say that it is done. " * 4}]}
).encode()
STREAM = CHAT[:-1] + b',"stream":true}'
EMBED = json.dumps({"model": "text-embedding-3-large", "input": ["word"] * 64}).encode()
SCENARIOS = {
    "chat": ("/v1/chat/completions", CHAT, 4_000, 8),
    "chat, one at a time": ("/v1/chat/completions", CHAT, 2_000, 1),
    "stream": ("/v1/chat/completions", STREAM, 600, 8),
    "embeddings": ("/v1/embeddings", EMBED, 60, 2),
}
HEADERS = (("content-type", "application/json"), ("authorization", "Bearer sk-bench-0123456789"))
Call = Callable[[], Awaitable[int]]


async def _own(url: str, body: bytes, ca_file: str, *, stream: bool) -> tuple[Call, Callable[[], Any]]:
    transport = HttpTransport(ca_file=ca_file)
    request = WireRequest(path="", body=body)

    async def call() -> int:
        answer = await transport.send(url, request, HEADERS[1:], Deadline.after(60))
        return len(answer.body)

    async def call_stream() -> int:
        async with transport.open(url, request, HEADERS[1:], Deadline.after(60)) as answer:
            return sum([len(chunk) async for chunk in answer.chunks()])

    return (call_stream if stream else call), transport.aclose


async def _pyreqwest(url: str, body: bytes, ca_file: str, *, stream: bool) -> tuple[Call, Callable[[], Any]]:
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - measured only where it is installed

    authority = await asyncio.to_thread(Path(ca_file).read_bytes)
    client = (
        ClientBuilder()
        .no_proxy()
        .follow_redirects(False)
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .add_root_certificate_pem(authority)
        .connect_timeout(timedelta(seconds=5))
        .build()
    )

    def build() -> Any:
        return client.post(url).headers(HEADERS).body_bytes(body).timeout(timedelta(seconds=60))

    async def call() -> int:
        # The form that bounds the body: the length is looked at before the body is read.
        async with build().build_streamed() as response:
            if int(dict(response.headers).get("content-length", "0")) > 64_000_000:
                raise RuntimeError("too large")
            return len(bytes(await response.body_reader.bytes()))

    async def call_stream() -> int:
        size = 0
        async with build().build_streamed() as response:
            while (chunk := await response.body_reader.read_chunk()) is not None:
                size += len(bytes(chunk))
        return size

    return (call_stream if stream else call), client.close


async def _aiohttp(url: str, body: bytes, ca_file: str, *, stream: bool) -> tuple[Call, Callable[[], Any]]:
    import aiohttp  # type: ignore[import-not-found]  # noqa: PLC0415 - measured only where it is installed

    connector = aiohttp.TCPConnector(limit=1000, ssl=ssl.create_default_context(cafile=ca_file))
    session = aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=60), auto_decompress=False
    )

    async def call() -> int:
        async with session.post(url, data=body, headers=dict(HEADERS), allow_redirects=False) as response:
            return len(await response.read())

    async def call_stream() -> int:
        async with session.post(url, data=body, headers=dict(HEADERS), allow_redirects=False) as response:
            return sum([len(chunk) async for chunk in response.content.iter_any()])

    return (call_stream if stream else call), session.close


CANDIDATES = {"own": _own, "pyreqwest": _pyreqwest, "aiohttp": _aiohttp}


async def _measure(candidate: str, scenario: str, base: str, ca_file: str) -> float:
    path, body, count, width = SCENARIOS[scenario]
    call, close = await CANDIDATES[candidate](base + path, body, ca_file, stream=scenario == "stream")

    async def run(times: int) -> None:
        for _ in range(times):
            if not await call():
                raise RuntimeError("an answer was empty")

    await asyncio.gather(*(run(max(2, count // width // 10)) for _ in range(width)))
    before = _cpu_s()
    await asyncio.gather(*(run(count // width) for _ in range(width)))
    spent = _cpu_s() - before
    await close()
    return spent / (count // width * width) * 1e6


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _child(asked: argparse.Namespace) -> None:
    pin(0)
    print(uvloop.run(_measure(asked.child, asked.scenario, asked.base, asked.ca)))


def _run_child(candidate: str, scenario: str, base: str, ca_file: str) -> float | None:
    command = [sys.executable, "-m", "bench.clients", "--child", candidate]
    command += ["--scenario", scenario, "--base", base, "--ca", ca_file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    return float(done.stdout)


def _compare(rounds: int) -> None:
    with TemporaryDirectory() as folder:
        ca, cert, key = throwaway_certificate(Path(folder))
        plain = spawn([sys.executable, "-m", "bench.upstream", "--port", "9101"], core=1)
        tls_args = ["--port", "9102", "--cert", str(cert), "--key", str(key)]
        tls = spawn([sys.executable, "-m", "bench.upstream", *tls_args], core=1)
        try:
            wait_for_port(9101)
            wait_for_port(9102)
            _print_table(rounds, str(ca))
        finally:
            plain.terminate()
            tls.terminate()
            plain.wait()
            tls.wait()


def _print_table(rounds: int, ca_file: str) -> None:
    bases = {"plain": "http://127.0.0.1:9101", "TLS": "https://127.0.0.1:9102"}
    print(f"{os.cpu_count()} cores, {rounds} interleaved rounds, {time.strftime('%Y-%m-%d')}")
    print(f"{'scenario':<22}{'wire':<7}" + "".join(f"{name:>24}" for name in CANDIDATES))
    for scenario in SCENARIOS:
        for wire, base in bases.items():
            found: dict[str, list[float]] = {name: [] for name in CANDIDATES}
            for _ in range(rounds):
                for name, figures in found.items():
                    figure = _run_child(name, scenario, base, ca_file)
                    if figure is not None:
                        figures.append(figure)
            cells = "".join(f"{_cell(figures):>24}" for figures in found.values())
            print(f"{scenario:<22}{wire:<7}{cells}", flush=True)


def _cell(figures: list[float]) -> str:
    if not figures:
        return "not installed"
    return f"{statistics.median(figures):,.0f} µs ({min(figures):,.0f}–{max(figures):,.0f})"


def main() -> None:
    """Compare all candidates, or (as a child) measure one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child")
    parser.add_argument("--scenario", default="chat")
    parser.add_argument("--base", default="")
    parser.add_argument("--ca", default="")
    asked = parser.parse_args()
    if asked.child:
        _child(asked)
    else:
        _compare(asked.rounds)


if __name__ == "__main__":
    main()
