"""An engine in a child process: starts it, talks to it over a socket pair, and notices its death."""

import asyncio
import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

import inferway
from inferway.providers.local.engine import Delta, EngineDied, EngineUnusable, Fault, Limits, Spec, Ticket
from inferway.providers.local.wire import (
    Drop,
    FromChild,
    Item,
    Load,
    Ready,
    Run,
    Said,
    Unusable,
    encode_frame,
    read_frame,
)

_CLOSE_WAIT_S = 2.0
_WORDS_KEPT = 2048
# The C library gives memory back to the system as soon as a batch is done: 169 MB instead of 286 for MiniLM after
# 64 long texts (bench/local_models.py). Nothing asks a model hub.
_CALM = {
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class ProcessEngine:
    """One model in one child process. The child gets no environment but what is given here, so no provider key can reach it.

    `last_words` is the end of what the child wrote while it loaded, for the log of the operator.
    """

    def __init__(
        self, spec: Spec, *, python: str | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.died = asyncio.Event()
        self.last_words = ""
        self._spec = spec
        self._python = python
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tickets: dict[int, Ticket] = {}
        self._numbers = itertools.count(1)
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int | None:
        """The child's process id, once it is started."""
        return self._process.pid if self._process else None

    async def load(self) -> Limits:
        """Starts the child and waits until its model is loaded; raises `EngineUnusable`."""
        reader = await self._start()
        spec = self._spec
        decoder = msgspec.msgpack.Decoder(FromChild)
        self._send(
            Load(
                engine=spec.engine,
                folder=str(spec.folder),
                threads=spec.threads,
                context_length=spec.context_length,
                options=dict(spec.options),
            )
        )
        try:
            answer = await read_frame(reader, decoder)
        except (asyncio.IncompleteReadError, OSError):
            await self.close()
            raise EngineUnusable(Fault(message="the engine died while it loaded its model")) from None
        except BaseException:
            await self.close()
            raise
        if isinstance(answer, Unusable):
            await self.close()
            raise EngineUnusable(answer.fault, permanent=answer.permanent)
        if not isinstance(answer, Ready):
            await self.close()
            raise EngineUnusable(Fault(message="the engine's process speaks another language"))
        self._tasks.append(asyncio.create_task(self._listen(reader, decoder)))
        return answer.limits

    async def run(self, batch: Sequence[Ticket]) -> None:
        """Sends one batch and returns when all its tickets have ended; raises `EngineDied`."""
        numbered = {next(self._numbers): ticket for ticket in batch if not ticket.gone}
        if not numbered:
            return
        if self.died.is_set():
            raise EngineDied
        for number, ticket in numbered.items():
            self._tickets[number] = ticket
            ticket.on_gone = lambda number=number: self._drop(number)
        try:
            self._send(Run(tuple(Item(number, ticket.task) for number, ticket in numbered.items())))
            # A ticket whose caller left is waited for too: the engine is busy until it has let go of it.
            while any(number in self._tickets for number in numbered) and not self.died.is_set():
                self._ended.clear()
                await self._ended.wait()
        finally:
            for number, ticket in numbered.items():
                self._tickets.pop(number, None)
                ticket.on_gone = None
        if any(not ticket.done and not ticket.gone for ticket in numbered.values()):
            raise EngineDied

    def memory_bytes(self) -> int:
        """Resident memory of the child, 0 where the system does not tell."""
        if self._process is None or self.died.is_set():
            return 0
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text("ascii").split()
            return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    async def close(self) -> None:
        """Ends the child: the closed socket asks it to, a kill makes sure."""
        self.died.set()
        self._ended.set()
        if self._writer is not None:
            self._writer.close()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_WAIT_S):
                    await process.wait()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        await asyncio.gather(*(task for task in self._tasks if task is not current), return_exceptions=True)

    async def _start(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(self._python or sys.executable, "-m", "inferway.providers.local.child"),
                *(str(theirs.fileno()), str(os.getpid())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=self._child_environment(),
            )
        except OSError as error:
            ours.close()
            raise EngineUnusable(Fault(message="the engine's process could not be started")) from error
        finally:
            theirs.close()
        ours.setblocking(False)
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        if self._process.stderr is not None:
            self._tasks.append(asyncio.create_task(self._hear_last_words(self._process.stderr)))
        return reader

    def _child_environment(self) -> dict[str, str]:
        own = str(Path(inferway.__file__).parent.parent)
        # Another interpreter brings its own packages; ours alone must be found.
        paths = [own] if self._python else [own, *filter(None, sys.path)]
        threads = {"OMP_NUM_THREADS": str(self._spec.threads)} if self._spec.threads else {}
        return {"PYTHONPATH": os.pathsep.join(paths), **_CALM, **threads, **self._environment}

    async def _listen(
        self, reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[FromChild]
    ) -> None:
        try:
            while True:
                frame = await read_frame(reader, decoder)
                if isinstance(frame, Said):
                    self._hear(frame)
        except (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError, ValueError):
            pass
        finally:
            self.died.set()
            self._ended.set()

    def _hear(self, said: Said) -> None:
        ticket = self._tickets.get(said.number)
        if ticket is None:
            return
        ticket.put(said.event.as_error() if isinstance(said.event, Fault) else said.event)
        if not isinstance(said.event, Delta):
            self._tickets.pop(said.number, None)
            self._ended.set()

    def _drop(self, number: int) -> None:
        self._send(Drop(number))

    def _send(self, value: Load | Run | Drop) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode_frame(value))

    async def _hear_last_words(self, stderr: asyncio.StreamReader) -> None:
        """Drains the child's standard error, so that it never blocks; only the end of it is kept."""
        while chunk := await stderr.read(4096):
            self.last_words = (self.last_words + chunk.decode(errors="replace"))[-_WORDS_KEPT:]
