"""One pool for all workers of a machine: its owner serves a unix socket, the workers' pools are clients of it."""

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest, EngineFailed, GatewayError, ModelWarming, Overloaded, Unavailable
from inferway.providers.local.engine import Delta, Output, Task
from inferway.providers.local.lane import LaneStatus
from inferway.providers.local.pool import EnginePool, last
from inferway.providers.local.wire import FrameTooLarge, encode_frame, read_frame

_PATH_MAX = 100
"""Bytes of a socket's path that every system takes; Linux allows 107."""


class Ask(Struct, frozen=True, tag="ask"):
    """Run a task."""

    number: int
    model: str
    task: Task
    wait_s: float | None


class Leave(Struct, frozen=True, tag="leave"):
    """Nobody waits for this task any more."""

    number: int


class AskStatus(Struct, frozen=True, tag="ask_status"):
    """Tell what the models are doing."""

    number: int


class Trouble(Struct, frozen=True, kw_only=True, tag="trouble"):
    """An error on its way to a worker."""

    kind: str
    message: str
    code: str | None
    details: dict[str, Any] | None
    retry_after_s: float | None
    retryable: bool


class Statuses(Struct, frozen=True, tag="statuses"):
    """The answer to `AskStatus`."""

    lanes: tuple[LaneStatus, ...]


class Heard(Struct, frozen=True, tag="heard"):
    """A piece of an answer, or its end."""

    number: int
    event: Delta | Output | Trouble | Statuses


_ERRORS: Mapping[str, type[GatewayError]] = {
    each.__name__: each for each in (BadRequest, EngineFailed, ModelWarming, Overloaded, Unavailable)
}
_ENDED = (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError, FrameTooLarge)


def choose_socket(run_dir: Path) -> Path:
    """The path for the pool's socket: in `run_dir`, made for this user only; in a private temporary folder when that path is too long."""
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    run_dir.chmod(0o700)
    path = run_dir / "engines.sock"
    if len(str(path).encode()) <= _PATH_MAX:
        return path
    return Path(tempfile.mkdtemp(prefix="inferway-")) / "engines.sock"


class PoolServer:
    """Lets other processes of the same user use a pool through a unix socket."""

    def __init__(self, pool: EnginePool, path: Path) -> None:
        self.path = path
        self._pool = pool
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens; a socket left behind by a dead owner is replaced."""
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._visit, path=str(self.path))
        self.path.chmod(0o600)

    async def aclose(self) -> None:
        """Stops listening and ends what runs for others; the pool stays open."""
        if self._server is not None:
            self._server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        self.path.unlink(missing_ok=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        assert visit is not None  # noqa: S101 - a coroutine that runs has a task
        self._visits.add(visit)
        try:
            await _Visit(self._pool, reader, writer).serve()
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            self._visits.discard(visit)
            writer.close()


class _Visit:
    """One connected worker."""

    def __init__(self, pool: EnginePool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pool = pool
        self._reader = reader
        self._writer = writer
        self._running: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        decoder = msgspec.msgpack.Decoder(Ask | Leave | AskStatus)
        try:
            while True:
                frame = await read_frame(self._reader, decoder)
                if isinstance(frame, Leave):
                    if task := self._running.pop(frame.number, None):
                        task.cancel()
                    continue
                work = self._answer(frame) if isinstance(frame, Ask) else self._tell_status(frame)
                self._running[frame.number] = asyncio.create_task(work)
        except _ENDED:
            return
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _answer(self, ask: Ask) -> None:
        try:
            async with contextlib.aclosing(self._pool.stream(ask.model, ask.task, ask.wait_s)) as events:
                async for event in events:
                    await self._send(Heard(ask.number, event))
        except GatewayError as error:
            await self._send(Heard(ask.number, _pack(error)))
        finally:
            self._running.pop(ask.number, None)

    async def _tell_status(self, ask: AskStatus) -> None:
        await self._send(Heard(ask.number, Statuses(await self._pool.status())))
        self._running.pop(ask.number, None)

    async def _send(self, heard: Heard) -> None:
        with contextlib.suppress(OSError):
            self._writer.write(encode_frame(heard))
            await self._writer.drain()


class RemoteEnginePool:
    """A pool in another process. Connects when first used, and again after the owner came back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Delta | Output | Statuses | GatewayError]] = {}

    async def stream(
        self, model: str, task: Task, wait_s: float | None = None
    ) -> AsyncGenerator[Delta | Output, None]:
        """See `EnginePool`; `Unavailable` when the owner is away."""
        number = next(self._numbers)
        queue = await self._ask(number, Ask(number, model, task, wait_s))
        ended = False
        try:
            while not ended:
                event = await queue.get()
                if isinstance(event, GatewayError):
                    ended = True
                    raise event
                if isinstance(event, Statuses):
                    continue
                ended = not isinstance(event, Delta)
                yield event
        finally:
            self._waiting.pop(number, None)
            if not ended and self._writer is not None and not self._writer.is_closing():
                self._writer.write(encode_frame(Leave(number)))

    async def run(self, model: str, task: Task, wait_s: float | None = None) -> Output:
        """The output of a task, without its deltas."""
        return await last(self.stream(model, task, wait_s))

    async def status(self) -> tuple[LaneStatus, ...]:
        """Every model that has been used since the owner's start."""
        number = next(self._numbers)
        queue = await self._ask(number, AskStatus(number))
        try:
            event = await queue.get()
        finally:
            self._waiting.pop(number, None)
        if isinstance(event, GatewayError):
            raise event
        return event.lanes if isinstance(event, Statuses) else ()

    async def aclose(self) -> None:
        """Disconnects; what runs for this worker ends."""
        if self._writer is not None:
            self._writer.close()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    async def _ask(
        self, number: int, frame: Ask | AskStatus
    ) -> asyncio.Queue[Delta | Output | Statuses | GatewayError]:
        writer = await self._connect()
        queue: asyncio.Queue[Delta | Output | Statuses | GatewayError] = asyncio.Queue()
        self._waiting[number] = queue
        try:
            writer.write(encode_frame(frame))
            await writer.drain()
        except OSError:
            self._waiting.pop(number, None)
            raise _away() from None
        except BaseException:
            self._waiting.pop(number, None)
            raise
        return queue

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None or self._writer.is_closing():
                try:
                    reader, self._writer = await asyncio.open_unix_connection(str(self._path))
                except OSError:
                    raise _away() from None
                self._listener = asyncio.create_task(self._listen(reader, self._writer))
            return self._writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = msgspec.msgpack.Decoder(Heard)
        try:
            while True:
                heard = await read_frame(reader, decoder)
                queue = self._waiting.get(heard.number)
                if queue is not None:
                    event = heard.event
                    queue.put_nowait(_unpack(event) if isinstance(event, Trouble) else event)
        except _ENDED:
            pass
        finally:
            writer.close()
            for queue in self._waiting.values():
                queue.put_nowait(_away())


def _pack(error: GatewayError) -> Trouble:
    kind = type(error).__name__
    return Trouble(
        kind=kind if kind in _ERRORS else EngineFailed.__name__,
        message=error.message,
        code=error.code,
        details=dict(error.details) if error.details is not None else None,
        retry_after_s=error.retry_after_s,
        retryable=error.retryable,
    )


def _unpack(trouble: Trouble) -> GatewayError:
    return _ERRORS.get(trouble.kind, EngineFailed)(
        trouble.message,
        code=trouble.code,
        details=trouble.details,
        retry_after_s=trouble.retry_after_s,
        retryable=trouble.retryable,
    )


def _away() -> GatewayError:
    return Unavailable("the local models are restarting", code="engines_away", retry_after_s=2.0)
