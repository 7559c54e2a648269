"""Where schemas are compiled and answers checked: plain ones here at once, all others in processes that may fail."""

import asyncio
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from inferway.errors import BadRequest, Overloaded
from inferway.pipeline.judge import Question, Verdict
from inferway.pipeline.structured import Checker, Schema, impossible, require_small
from inferway.pipeline.weight import find_weight

_SEATS = 2
_WAIT_S = 10.0
"""How long a question may wait for its verdict when the machine has no processor time to give."""

_NEAR_WORK = 1_000_000
"""The most work that is done here: a schema's weight times the characters of an answer."""


class Judges:
    """Compiles schemas and checks answers against them, at most two of the costly ones at a time.

    A new schema is refused while `queue_max` questions wait for a process, or one of them has waited for `patience_s`: hostile schemas of
    one caller delay those of others by seconds at most. Checks of answers always wait: their calls were let in. The processes begin with
    the first schema that is not plain, and end with this object.
    """

    def __init__(self, *, queue_max: int = 256, patience_s: float = 2.0) -> None:
        self._queue_max = queue_max
        self._patience_s = patience_s
        self._idle: list[subprocess.Popen[bytes]] = []
        self._threads: ThreadPoolExecutor | None = None
        self._queued: dict[object, float] = {}
        weakref.finalize(self, _end_all, self._idle)

    async def take(self, schema: Schema) -> "TakenSchema":
        """The schema, ready for answers. Raises `BadRequest` when it is none, or when nothing can satisfy it; `Overloaded`."""
        weight = find_weight(schema)
        if weight is not None:
            return TakenSchema(self, schema, weight, Checker(schema))
        require_small(schema)
        self._require_room()
        verdict = await self._ask(Question(act="take", schema=schema))
        if verdict is None:
            # The search for a contradiction may have been too much. It is a service; compiling is needed.
            verdict = await self._ask(Question(act="compile", schema=schema))
        if verdict is None:
            raise impossible("the schema takes too much time or memory to compile", ())
        if verdict.refusal is not None:
            raise BadRequest(verdict.refusal, code="impossible_schema", details=verdict.details)
        return TakenSchema(self, schema, 0, None)

    async def findings(self, schema: Schema, value: object) -> tuple[str, ...] | None:
        """What is wrong with a value; None when it takes too much to say."""
        verdict = await self._ask(Question(act="check", schema=schema, value=value))
        return None if verdict is None or verdict.refusal is not None else verdict.findings

    async def _ask(self, question: Question) -> Verdict | None:
        """The verdict; None when the process that had to give it died of the question."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_SEATS, thread_name_prefix="judging")
        line, place = msgspec.json.encode(question) + b"\n", object()
        self._queued[place] = time.monotonic()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._begin, place, line)
        finally:
            # A caller that leaves takes its question out of the queue.
            self._queued.pop(place, None)
        return msgspec.json.decode(answer, type=Verdict) if answer else None

    def _begin(self, place: object, line: bytes) -> bytes:
        self._queued.pop(place, None)
        return _exchange(self._idle, line)

    def _require_room(self) -> None:
        queued = list(self._queued.values())
        if len(queued) >= self._queue_max or (queued and time.monotonic() - min(queued) > self._patience_s):
            raise Overloaded(
                "too many schemas wait to be compiled; try again",
                retry_after_s=self._patience_s,
                retryable=True,
            )


class TakenSchema:
    """A schema that answers are checked against."""

    def __init__(self, judges: Judges, schema: Schema, weight: int, checker: Checker | None) -> None:
        self._judges = judges
        self._schema = schema
        self._weight = weight
        self._checker = checker

    async def findings(self, value: object, length: int) -> tuple[str, ...] | None:
        """What is wrong with an answer's value, whose JSON has `length` characters; None when it takes too much to say."""
        if self._checker is not None and self._weight * length <= _NEAR_WORK:
            return tuple(self._checker.findings(value))
        return await self._judges.findings(self._schema, value)


def _exchange(idle: list[subprocess.Popen[bytes]], line: bytes) -> bytes:
    """The line that answers a line; empty when the process died instead."""
    process = _find_living(idle) or _start()
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    limit = threading.Timer(_WAIT_S, process.kill)
    limit.start()
    try:
        process.stdin.write(line)
        process.stdin.flush()
        answer = process.stdout.readline()
    except OSError:
        answer = b""
    finally:
        limit.cancel()
    if answer.endswith(b"\n"):
        idle.append(process)
        return answer
    _end_all([process])
    return b""


def _find_living(idle: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes] | None:
    while idle:
        process = idle.pop()
        if process.poll() is None:
            return process
        _end_all([process])
    return None


def _start() -> subprocess.Popen[bytes]:
    """A process that knows none of the secrets of this one: only where the code is."""
    folders = [str(Path(folder).resolve()) for folder in sys.path if folder]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inferway.pipeline.judge"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(folders)},
    )


def _end_all(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # it held what the dead process did not read
