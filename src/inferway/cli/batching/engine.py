"""Makes the calls of a batch side by side, with no more in memory than those that are under way."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Protocol

from inferway.cli.batching.calling import Caller, GoingOnIsUseless
from inferway.cli.batching.lines import BadLine, Line, read_job
from inferway.cli.batching.output import Done
from inferway.cli.batching.tally import Tally
from inferway.cli.batching.told import failure_line, read_told
from inferway.errors import OperatorError

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Writes(Protocol):
    """Where lines of the output go."""

    def write(self, text: bytes) -> None:
        """Appends one; raises `OperatorError`."""


class Engine:
    """One run. Lines are written as their calls end, in that order; each is read only when somebody is free to call it."""

    def __init__(
        self, lines: AsyncIterator[Line], done: Done, caller: Caller, output: Writes, tally: Tally
    ) -> None:
        self._lines = lines
        self._done = done
        self._caller = caller
        self._output = output
        self._tally = tally
        self._reading = asyncio.Lock()
        self.is_interrupted = False

    async def run(self, concurrency: int) -> str | None:
        """Until the input ends, or Ctrl-C, or every call would fail; the reason for that, if it was so.

        Raises `OperatorError` when the output cannot be written or belongs to another input.
        """
        try:
            with self._interruptible():
                await self._work_side_by_side(concurrency)
        except asyncio.CancelledError:
            if not self.is_interrupted:
                raise
        except GoingOnIsUseless as error:
            return str(error)
        return None

    async def _work_side_by_side(self, concurrency: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(self._work())
        except ExceptionGroup as errors:
            # Not `except*`: some versions of Python wrap up again what is raised there.
            ends = errors.subgroup((OperatorError, GoingOnIsUseless))
            if ends is None:
                raise
            raise _first(ends) from None

    async def _work(self) -> None:
        while (line := await self._next()) is not None:
            self._tell(await self._called(line))

    async def _next(self) -> Line | None:
        async with self._reading:
            async for line in self._lines:
                if not self._done.has(line):
                    return line
        return None

    async def _called(self, line: Line) -> bytes:
        job = read_job(line)
        if isinstance(job, BadLine):
            return failure_line(job, None, {"message": job.message, "type": "BadLine"})
        return await self._caller.call(job)

    def _tell(self, text: bytes) -> None:
        self._output.write(text)
        self._tally.add(read_told(text))
        self._tally.without_key = self._caller.without_key

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C ends the calls, a further one has its usual effect."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "runs in a task"  # noqa: S101

        def stop() -> None:
            for number in _STOPPING:
                loop.remove_signal_handler(number)
            self.is_interrupted = True
            task.cancel()

        for number in _STOPPING:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in _STOPPING:
                loop.remove_signal_handler(number)


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
