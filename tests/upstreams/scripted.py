"""An upstream on loopback that plays a script: what it reads and writes, byte by byte, is up to the test."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection, seen from the upstream's side."""

    def __init__(
        self, upstream: "Upstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.upstream = upstream
        self.number = number
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one request with its body and keep it in `upstream.requests`; head and body as they came."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        whole = head + await self.reader.readexactly(length)
        self.upstream.requests.append(whole)
        self.upstream.asked.set()
        return whole

    async def send(self, data: bytes) -> None:
        """Write bytes and wait until they are gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, *extra: str, status: str = "200 OK") -> None:
        """Write a complete answer."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *extra]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the other side has hung up, by closing or by a reset."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass
        self.upstream.hung_up.set()


class Upstream:
    """Where the scripted upstream listens and what it saw."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.scheme = "http"

    def url(self, path: str = "/v1/x", host: str = "127.0.0.1") -> str:
        """The address of a path here."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play the script on one connection."""
        self.connections += 1
        try:
            await self.script(Peer(self, reader, writer, self.connections))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            # The other side has gone, or the test is over.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Run a scripted upstream on a free port of loopback."""
    upstream = Upstream(script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await upstream.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    upstream.port = server.sockets[0].getsockname()[1]
    upstream.scheme = "http" if context is None else "https"
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answer_ok(peer: Peer) -> None:
    """Answer every request on the connection with `ok`."""
    while True:
        await peer.request()
        await peer.answer(b"ok")
