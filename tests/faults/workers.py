"""Worker processes that die in every way: the others are not affected, and a new one takes the place soon."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, children_of, fake_call, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, run, tell
from tests.faults.programs import go_first

_LINES = 8
_STEADY_S = 6.0
"""A worker that lived as long is replaced at once; one that dies sooner waits a little."""


class Load:
    """Clients that call without end; what broke is counted by how."""

    def __init__(self, served: Served) -> None:
        self._request = request_bytes(
            "/v1/inference", served.headers(), json.dumps(fake_call("fake-chat?latency_ms=20")).encode()
        )
        self._port = served.port
        self.told: Counter[str] = Counter()
        self._is_over = False
        self._tasks = [asyncio.create_task(self._run()) for _ in range(_LINES)]

    async def stop(self) -> None:
        """Lets every call end."""
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        line = Line(self._port)
        while not self._is_over:
            reply = await line.call(self._request)
            self.told["200" if reply.status == 200 else f"{reply.status} {reply.broke}".strip()] += 1
        line.close()


def _workers(served: Served) -> set[int]:
    """Those that serve, as the supervisor says."""
    living = {pid for pid, line in children_of(served.process.pid).items() if "inferway.http.worker" in line}
    return {pid for pid in living if f"worker {pid} serves" in served.stderr}


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _fault(pid: int) -> None:
    os.kill(pid, signal.SIGSEGV)


def _starve(pid: int) -> None:
    """What the kernel does to a process without memory, after this one may take no more."""
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_AS, (64 * 1024 * 1024, 64 * 1024 * 1024))
    time.sleep(1.0)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


_DEATHS: tuple[tuple[str, Callable[[int], None]], ...] = (
    ("kill -9", _kill),
    ("a segmentation fault", _fault),
    ("no memory", _starve),
)


async def measure(asked: Asked) -> None:
    """Each kind of death once under load, between two steady workers."""
    if not asked.short:
        go_first()
    within_s = 10.0 if asked.short else 2.0
    limits = {f"INFERWAY_LIMITS__{each}": "0" for each in ("PER_MINUTE", "PER_SECOND", "CONCURRENT")}
    with TemporaryDirectory() as folder, serving(Path(folder), "--workers", "2", **limits) as served:
        for name, bring_about in _DEATHS:
            while len(_workers(served)) < 2:
                await asyncio.sleep(0.02)
            await asyncio.sleep(_STEADY_S)
            load = Load(served)
            await asyncio.sleep(1.0)
            before = _workers(served)
            victim = min(before)
            await asyncio.to_thread(bring_about, victim)
            died = time.monotonic()
            while not _workers(served) - before:
                await asyncio.sleep(0.02)
            back_s = time.monotonic() - died
            await asyncio.sleep(0.5)
            await load.stop()
            lost = load.told.total() - load.told["200"]
            tell(
                asked,
                f"a worker dies ({name}): a new one serves after",
                f"{back_s:.1f} s; {lost} of {load.told.total()} calls at {_LINES} clients were lost with it",
                f"{within_s:g} s; at most what the dead one had ({_LINES})",
                passed=back_s <= within_s and lost <= _LINES,
            )


if __name__ == "__main__":
    run("workers", measure)
