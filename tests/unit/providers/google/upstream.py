"""A server on loopback that stands for Google: it answers what it is told to, and keeps what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it arrived; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """Answers in order, the last one again and again."""

    answers: list[tuple[int, str, bytes]]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, answer it and hang up."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append(Asked(method, target, headers, body))
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        status, kind, data = self.answers[min(len(self.asked), len(self.answers)) - 1]
        length = f"content-length: {len(data)}\r\nconnection: close\r\n\r\n"
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{length}".encode() + data)
        await writer.drain()
        writer.close()


def as_json(body: object, status: int = 200) -> tuple[int, str, bytes]:
    """An answer of JSON."""
    return status, "application/json; charset=UTF-8", json.dumps(body).encode()


def as_events(*chunks: object) -> tuple[int, str, bytes]:
    """An answer of server-sent events."""
    data = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks)
    return 200, "text/event-stream", data.encode()


@asynccontextmanager
async def running(*answers: tuple[int, str, bytes]) -> AsyncIterator[Upstream]:
    """An upstream while the block runs."""
    upstream = Upstream(list(answers))
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield upstream
