"""A small HTTP/1.1 client on asyncio streams for the fault runs: many calls beside each other, errors told as values."""

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass
class Reply:
    """What came back. `status` is 0 when the connection broke before the answer was whole, and `broke` says how."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    broke: str = ""


def request_bytes(path: str, headers: dict[str, str], body: bytes = b"", method: str = "POST") -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway.test"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Line:
    """A connection that makes one call at a time and is made anew when it was closed."""

    def __init__(self, port: int, timeout_s: float = 60.0) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, request: bytes) -> Reply:
        """One call; a kept connection that the server has closed meanwhile is made anew once, as clients do."""
        is_kept = self._writer is not None
        reply = await self._once(request)
        if is_kept and reply.broke == "closed before any byte":
            reply = await self._once(request)
        return reply

    async def _once(self, request: bytes) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._writer.write(request)
                assert self._reader is not None
                reply = await read_reply(self._reader)
        except TimeoutError:
            reply = Reply(0, broke="no answer in time")
        except OSError as error:
            reply = Reply(0, broke=f"{type(error).__name__}")
        if not reply.status or reply.headers.get("connection") == "close":
            self.close()
        return reply

    def close(self) -> None:
        """Hangs up."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """One answer, with Content-Length or in chunks."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return Reply(0, broke="closed in the head" if error.partial else "closed before any byte")
    except ConnectionError:
        return Reply(0, broke="closed before any byte")
    status_line, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    try:
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await _chunks(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return Reply(0, headers, broke="closed in the body")
    return Reply(int(status_line.split()[1]), headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(pieces)


async def hang_up(*writers: asyncio.StreamWriter) -> None:
    """Closes connections whatever state they are in."""
    for writer in writers:
        writer.close()
    for writer in writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()
