"""How an upstream misbehaves: each play is one exchange on a connection, from the upstream's side."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.upstream.wires import Wire
from tests.upstreams.scripted import Peer

_FOREVER_S = 60.0
_MIB = 1024 * 1024


@dataclass
class Turn:
    """One request that arrived: the connection, how this provider speaks, and which request of the fault it is (from 1)."""

    peer: Peer
    wire: Wire
    number: int
    on_connection: int

    async def ok(self, *headers: str, status: str = "200 OK") -> None:
        """A good answer."""
        await self.peer.answer(self.wire.ok(), "content-type: application/json", *headers, status=status)


Play = Callable[[Turn], Awaitable[None]]


def answers(body: Callable[[Wire], bytes] | bytes, status: str = "200 OK", *headers: str) -> Play:
    """A whole answer with this body."""

    async def play(turn: Turn) -> None:
        said = body if isinstance(body, bytes) else body(turn.wire)
        await turn.peer.answer(said, "content-type: application/json", *headers, status=status)

    return play


def refuses(status: int, *headers: str, words: str = "") -> Play:
    """The provider's own error."""
    return answers(lambda wire: wire.error(status, words), f"{status} No", *headers)


def html(status: int) -> Play:
    """A page of some proxy."""
    return answers(b"<html><body>bad gateway</body></html>", f"{status} No")


def first(play: Play, then: Play | None = None) -> Play:
    """The first request meets the fault, later ones are answered."""

    async def staged(turn: Turn) -> None:
        if turn.number == 1:
            await play(turn)
        elif then is not None:
            await then(turn)
        else:
            await turn.ok()

    return staged


async def silence(turn: Turn) -> None:
    """No byte, ever."""
    await turn.peer.gone()


async def drips_head(turn: Turn) -> None:
    """A byte of the head five times a second."""
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500:
        await turn.peer.send(bytes([byte]))
        await asyncio.sleep(0.2)


async def drips_body(turn: Turn) -> None:
    """A byte of the body five times a second."""
    await turn.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")
    for _ in range(5000):
        await turn.peer.send(b" ")
        await asyncio.sleep(0.2)


async def stalls_in_body(turn: Turn) -> None:
    """Half a body, then nothing."""
    body = turn.wire.ok()
    await turn.peer.send(
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body[: len(body) // 2]
    )
    await turn.peer.gone()


async def short_length(turn: Turn) -> None:
    """Less than Content-Length announced."""
    body = turn.wire.ok()
    await turn.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(body) + 50) + body)
    raise ConnectionError


async def cut_chunk(turn: Turn) -> None:
    """The connection ends inside a chunk."""
    await turn.peer.send(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n200\r\n" + turn.wire.ok()[:40]
    )
    raise ConnectionError


async def no_last_chunk(turn: Turn) -> None:
    """All of the body, and no end of it."""
    body = turn.wire.ok()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    await turn.peer.send(head + b"%x\r\n%s\r\n" % (len(body), body))
    raise ConnectionError


async def close_delimited(turn: Turn) -> None:
    """A body that ends with the connection, in its middle."""
    await turn.peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + turn.wire.ok()[:40])
    raise ConnectionError


async def resets_after_request(turn: Turn) -> None:
    """A reset instead of an answer."""
    turn.peer.reset()
    raise ConnectionError


async def resets_in_body(turn: Turn) -> None:
    """A reset in the middle of the answer."""
    await turn.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
    await asyncio.sleep(0.02)
    turn.peer.reset()
    raise ConnectionError


async def closes_kept(turn: Turn) -> None:
    """Answers the first request of each connection, and hangs up on the second just as it comes."""
    if turn.on_connection == 1:
        await turn.ok("keep-alive: timeout=60")
        return
    raise ConnectionError


def raw(data: bytes) -> Play:
    """Exactly these bytes, then the end of the connection."""

    async def play(turn: Turn) -> None:
        await turn.peer.send(data)
        raise ConnectionError

    return play


def before_ok(data: bytes) -> Play:
    """These bytes, then a good answer."""

    async def play(turn: Turn) -> None:
        await turn.peer.send(data)
        await turn.ok()

    return play


def floods(head: bytes, piece: bytes) -> Play:
    """A head, and one piece over and over until nobody listens any more."""

    async def play(turn: Turn) -> None:
        await turn.peer.send(head)
        while True:
            await turn.peer.send(piece)

    return play


def bomb(coding: str) -> Play:
    """Little that says it is a lot."""
    packed = gzip.compress(b" " * _MIB)
    return answers(packed, "200 OK", f"content-encoding: {coding}")


SSE = "content-type: text/event-stream"
_SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def streams(events: Callable[[Wire], list[bytes]], *, ends: str) -> Play:
    """Events in chunks. `ends`: `well`, `cut` (the connection ends), `clean` (the body ends), `stalls`."""

    async def play(turn: Turn) -> None:
        await turn.peer.send(_SSE_HEAD)
        for event in events(turn.wire):
            await turn.peer.send(b"%x\r\n%s\r\n" % (len(event), event))
        if ends == "cut":
            raise ConnectionError
        if ends == "stalls":
            await turn.peer.gone()
        await turn.peer.send(b"0\r\n\r\n")

    return play
