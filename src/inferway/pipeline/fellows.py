"""The other workers of this machine: who of them makes a call already, and what they get.

Each worker listens on a unix socket of its own. Who asks sends the call's key (32 bytes), hears frames and may say with one byte that it
leaves. A frame is a length (4 bytes, big endian) and that many bytes: none while the call is in flight, then one `Landed` as MessagePack.
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from inferway.pipeline.landing import Landed
from inferway.pipeline.leaders import KEY_BYTES, Leaders

Host = Callable[[bytes, "asyncio.Future[bytes]"], Awaitable[Landed]]
"""Answers how the call of a key ended, or at once when the future is done: they leave."""

_log = logging.getLogger("inferway.pipeline")

_LENGTH = struct.Struct(">I")
_STILL = bytes(_LENGTH.size)
_LEAVE = b"-"
_FRAME_MAX = 64 * 1024 * 1024
_READ_AHEAD = 1024 * 1024
_PATH_MAX = 100
"""Bytes of a socket's path that every system takes; Linux allows 107."""
_WORD_EVERY_S = 0.25
PATIENCE_S = 2.0
"""After such a silence a worker is given up: it is stopped, or so busy that a call of one's own is quicker.

It is a quarter of the time left where that is less.
"""
_LAST_WORDS_S = 1.0
_SEND_S = 10.0
_BROKEN = (OSError, TimeoutError, asyncio.IncompleteReadError, msgspec.MsgspecError, ValueError)


class Fellows:
    """This worker among the others that name the same folder."""

    def __init__(self, folder: Path, leaders: Leaders) -> None:
        self._folder = folder
        self._leaders = leaders
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()
        # Known by the table alone, so that a call without a twin asks nobody.
        self.leads = leaders.leads
        self.release = leaders.release

    @classmethod
    def open(cls, folder: Path) -> "Fellows":
        """A place among those that name the folder; raises OSError."""
        if len(bytes(folder / "00.sock")) > _PATH_MAX:
            raise OSError("the path of the folder is too long for a socket")
        return cls(folder, Leaders.open(folder))

    async def start(self, host: Host) -> None:
        """Listens; a socket left behind by a dead process is replaced. Raises OSError."""

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            guest = asyncio.current_task()
            assert guest is not None  # noqa: S101 - a coroutine that runs has a task
            self._guests.add(guest)
            try:
                await _receive(host, reader, writer)
            except _BROKEN:
                return
            finally:
                self._guests.discard(guest)
                writer.close()

        path = self._path(self._leaders.seat)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(receive, path=str(path))
        path.chmod(0o600)

    def claim(self, key: bytes, instead_of: int | None = None) -> int | None:
        """See `Leaders.claim`; nothing is claimed while nobody could ask for it."""
        return None if self._server is None else self._leaders.claim(key, instead_of)

    async def visit(self, leader: int, key: bytes, longest_s: float) -> "Visit | None":
        """Joins the call of another worker; None when that one is not there."""
        patience_s = min(PATIENCE_S, max(longest_s / 4, 2 * _WORD_EVERY_S))
        try:
            async with asyncio.timeout(patience_s):
                reader, writer = await asyncio.open_unix_connection(
                    str(self._path(leader)), limit=_READ_AHEAD
                )
        except _BROKEN:
            return None
        writer.write(key)
        return Visit(reader, writer, patience_s)

    async def aclose(self) -> None:
        """Stops listening; who still waits here hears how it stands, or that this worker is gone."""
        if self._server is not None:
            self._server.close()
            self._server = None
            if self._guests:
                await asyncio.wait(tuple(self._guests), timeout=_LAST_WORDS_S)
            for guest in self._guests:
                guest.cancel()
            await asyncio.gather(*self._guests, return_exceptions=True)
            self._path(self._leaders.seat).unlink(missing_ok=True)
        self._leaders.close()

    def _path(self, seat: int) -> Path:
        return self._folder / f"{seat:02}.sock"


class Visit:
    """Waiting for a call that another worker makes. It must be closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._patience_s = patience_s
        self._length: int | None = None

    async def landing(self) -> Landed | None:
        """How the call ended; None when that worker died, hangs or cannot be understood."""
        with contextlib.suppress(*_BROKEN):
            while True:
                async with asyncio.timeout(self._patience_s):
                    body = await self._frame()
                if body:
                    return msgspec.msgpack.decode(body, type=Landed)
        return None

    async def leave(self) -> Landed | None:
        """Says that nobody waits here any more; what has to be borne after all by the last one who did."""
        with contextlib.suppress(*_BROKEN):
            self._writer.write(_LEAVE)
            async with asyncio.timeout(_LAST_WORDS_S):
                while not (body := await self._frame()):
                    pass
            return msgspec.msgpack.decode(body, type=Landed)
        return None

    def close(self) -> None:
        """Hangs up."""
        self._writer.close()

    async def _frame(self) -> bytes:
        # Who stops waiting between the two parts of a frame goes on with the second.
        if self._length is None:
            (self._length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        if self._length > _FRAME_MAX:
            raise ValueError("a frame is too large")
        body = await self._reader.readexactly(self._length)
        self._length = None
        return body


async def _receive(host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One visit of another worker, to its end."""
    async with asyncio.timeout(_LAST_WORDS_S):
        key = await reader.readexactly(KEY_BYTES)
    leaving = asyncio.ensure_future(reader.read(1))
    hosting = asyncio.ensure_future(host(key, leaving))
    try:
        while not hosting.done():
            writer.write(_STILL)
            await asyncio.wait((hosting,), timeout=_WORD_EVERY_S)
        told = hosting.result()
        await _tell(writer, told)
    finally:
        for task in (leaving, hosting):
            task.cancel()
        await asyncio.gather(leaving, hosting, return_exceptions=True)


async def _tell(writer: asyncio.StreamWriter, told: Landed) -> None:
    body = msgspec.msgpack.encode(told)
    if len(body) > _FRAME_MAX:
        body = msgspec.msgpack.encode(msgspec.structs.replace(told, route=-1, vectors=()))
    try:
        writer.write(_LENGTH.pack(len(body)) + body)
        async with asyncio.timeout(_SEND_S):
            await writer.drain()
    except (OSError, TimeoutError):
        writer.transport.abort()
        if told.pays and (told.spent or not told.is_cost_known):
            _log.warning("what a shared call used is in no record: the worker that bore it is gone")
