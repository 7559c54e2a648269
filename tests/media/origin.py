"""A web server on loopback whose answers are raw bytes, and the resolver and dialler that lead strangers' names to it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

from inferway.media.addresses import Address
from inferway.media.fetch import dial_address

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1:248:1893:25c8:1946"
Answer = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A plain HTTP/1.1 response with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return response(b"", f"Location: {location}", status=status)


class Origin:
    """Answers each path with the bytes given for it, or lets a function write; keeps the heads of all requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.heads: list[str] = []
        self.asked = asyncio.Event()
        self.port = 0

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection and close it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            self.asked.set()
            answer = self.answers.get(head.split(" ")[1], response(b"", status="404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def paths(self) -> list[str]:
        """The request targets so far, in order."""
        return [head.split(" ")[1] for head in self.heads]


@asynccontextmanager
async def running(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Origin]:
    """An origin on a free port."""
    origin = Origin()
    server = await asyncio.start_server(origin.serve_one, host, 0, ssl=tls)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()


class TableResolver:
    """Answers from a table, one row of answers after the other for a name that changes them; counts its calls."""

    def __init__(self, table: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self._table = {name: list(rows) for name, rows in (table or {}).items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:  # noqa: ARG002  # The Protocol's.
        """The next row for this name; the last one stays."""
        self.asked.append(host)
        rows = self._table.get(host)
        if rows is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return rows.pop(0) if len(rows) > 1 else rows[0]


class Road:
    """A dialler that writes down every address it is asked for and leads all of them to one loopback port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.dialled: list[tuple[str, int]] = []

    async def __call__(self, address: Address, port: int) -> socket.socket:
        """Connect to the origin in the place of `address`."""
        self.dialled.append((str(address), port))
        return await dial_address(IPv4Address("127.0.0.1"), self._port)
