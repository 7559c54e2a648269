"""Several worker processes on one listening socket: starts them, replaces those that die, ends them all."""

import asyncio
import logging
import pickle
import signal
import socket
import sys
from collections.abc import Callable

from inferway.errors import OperatorError
from inferway.http.server import Application
from inferway.http.worker import READY, Orders
from inferway.settings import ServerSettings

_log = logging.getLogger("inferway.http")

_LAST_WORDS_S = 5.0
_STEADY_S = 5.0
"""A worker that lived as long was well: the next one starts at once. Otherwise the pauses double."""
_PAUSE_MAX_S = 10.0


class WorkersFailed(OperatorError):
    """No worker could start; the message is one line."""


class Supervisor:
    """Keeps `settings.workers` processes running. `make` must be a function that can be pickled."""

    def __init__(
        self, make: Callable[[], Application], bound: socket.socket, settings: ServerSettings
    ) -> None:
        self._orders = pickle.dumps(Orders(make=make, server=settings))
        self._bound = bound
        self._settings = settings
        self._workers: set[asyncio.subprocess.Process] = set()
        self._serving: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self._signals = 0
        self._waiting_for = settings.workers
        self._failed = False
        self._on_ready: Callable[[], object] = lambda: None

    async def run(self, on_ready: Callable[[], object] = lambda: None) -> None:
        """Until a signal says stop; `on_ready` is called once, when all workers serve. Raises `WorkersFailed`."""
        self._on_ready = on_ready
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        try:
            async with asyncio.TaskGroup() as places:
                for _ in range(self._settings.workers):
                    places.create_task(self._keep())
                places.create_task(self._kill_the_late())
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        if self._failed:
            raise WorkersFailed("no worker could start; see the lines above")

    async def _keep(self) -> None:
        """One place among the workers: whoever dies in it is followed by another."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        has_served = False
        while not self._stopping.is_set():
            began = loop.time()
            has_served = await self._live(is_first=not has_served) or has_served
            if self._stopping.is_set():
                return
            if not has_served:
                self._failed = True
                self._stop(signal.SIGINT)
                return
            pause_s = 0.0 if loop.time() - began > _STEADY_S else min(_PAUSE_MAX_S, max(0.25, pause_s * 2))
            await self._rest(pause_s)

    async def _rest(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _live(self, *, is_first: bool) -> bool:
        """One worker's life; whether it came to serve."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await self._start(theirs)
            self._workers.add(process)
            # A stop that came while this one was started has not reached it.
            self._pass_on(process, self._signals and signal.SIGINT)
            try:
                has_served = await self._is_ready(ours)
                if has_served:
                    self._serving.add(process)
                    _log.info("worker %d serves", process.pid)
                if has_served and is_first:
                    self._count_ready()
                await process.wait()
            finally:
                self._workers.discard(process)
                self._serving.discard(process)
        if not self._stopping.is_set():
            _log.warning("worker %d ended with status %s", process.pid, process.returncode)
        return has_served

    async def _start(self, control: socket.socket) -> asyncio.subprocess.Process:
        numbers = (self._bound.fileno(), control.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "inferway.http.worker", *map(str, numbers)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=numbers,
            # A Ctrl-C in the terminal reaches this process alone, which passes it on: twice would mean "at once".
            process_group=0,
        )
        assert process.stdin is not None  # noqa: S101 - asked for above
        process.stdin.write(self._orders)
        process.stdin.close()
        return process

    async def _is_ready(self, line: socket.socket) -> bool:
        line.setblocking(False)
        try:
            return await asyncio.get_running_loop().sock_recv(line, 1) == READY
        except OSError:
            return False

    def _count_ready(self) -> None:
        self._waiting_for -= 1
        if self._waiting_for == 0:
            self._on_ready()

    def _stop(self, number: signal.Signals) -> None:
        self._signals += 1
        self._stopping.set()
        for worker in tuple(self._workers):
            self._pass_on(worker, number)

    def _pass_on(self, worker: asyncio.subprocess.Process, number: int) -> None:
        if number and worker.returncode is None:
            # One that is still being imported would answer SIGINT with a traceback; SIGTERM simply ends it.
            worker.send_signal(number if worker in self._serving else signal.SIGTERM)

    async def _kill_the_late(self) -> None:
        """Workers end by themselves in time; one that hangs does not hold up the rest."""
        await self._stopping.wait()
        late_s = self._settings.stop_wait_s + self._settings.stop_grace_s + _LAST_WORDS_S
        deadline = asyncio.get_running_loop().time() + late_s
        while self._workers and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
            if self._signals > 1:
                deadline = min(deadline, asyncio.get_running_loop().time() + _LAST_WORDS_S)
        for worker in tuple(self._workers):
            if worker.returncode is None:
                worker.kill()
