"""Looks at this worker itself now and then: how late its event loop is, what waits, what it takes of the machine."""

import asyncio
import os
import resource
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from inferway.observe.board import Board
from inferway.observe.families import SHORT_S, Families, Family

SAMPLE_S = 0.25
_LOOK_EVERY = 4
"""Samples between two looks at everything else."""
_STATE = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


class Sources(Struct, frozen=True, kw_only=True):
    """Where numbers come from that others keep: calls under way, bytes of usage that wait, breakers
    (provider, whose credential, state), and calls that no trace was sent for, that were shed, or whose content was not kept."""

    running: Callable[[], int] = lambda: 0
    backlog_bytes: Callable[[], int] = lambda: 0
    breakers: Callable[[], Iterable[tuple[str, str, str]]] = tuple
    undelivered: Callable[[], int] = lambda: 0
    shed: Callable[[], int] = lambda: 0
    unkept: Callable[[], int] = lambda: 0


class Vitals:
    """Writes this worker's gauges on its board. `run` until it is cancelled; `look` writes them at once."""

    def __init__(self, board: Board, families: Families, sources: Sources) -> None:
        self._board, self._families, self._sources = board, families, sources
        self._worker = (str(board.seat),)
        self._processor_s = 0.0
        self._spilled = self._undelivered = self._shed = self._unkept = 0
        self._broken: set[tuple[str, str]] = set()
        self._set(families.started, self._worker, time.time())
        self.look()

    async def run(self) -> None:
        """Samples how late the event loop is four times a second, and looks at the rest once."""
        cells, lag_s = self._board.cells, self._board.place(self._families.lag_s)
        loop = asyncio.get_running_loop()
        sample = 0
        while True:
            due = loop.time() + SAMPLE_S
            await asyncio.sleep(SAMPLE_S)
            late_s = max(0.0, loop.time() - due)
            cells[lag_s] += late_s
            cells[lag_s + 1 + bisect_left(SHORT_S, late_s)] += 1
            sample += 1
            if sample % _LOOK_EVERY == 0:
                self._set(self._families.tasks, self._worker, len(asyncio.all_tasks()))
                self.look()

    def look(self) -> None:
        """Writes every gauge as it is now."""
        families, worker, sources = self._families, self._worker, self._sources
        self._set(families.running, worker, sources.running())
        self._set(families.backlog, worker, sources.backlog_bytes())
        self._set(families.memory, worker, _memory_bytes())
        self._set(families.files, worker, _open_files())
        self._set(families.files_max, worker, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        used_s = time.process_time()
        self._add(families.processor_s, worker, used_s - self._processor_s)
        self._processor_s = used_s
        self._add(families.spilled, (), self._board.spilled - self._spilled)
        self._spilled = self._board.spilled
        undelivered = sources.undelivered()
        self._add(families.undelivered, (), undelivered - self._undelivered)
        self._undelivered = undelivered
        shed = sources.shed()
        self._add(families.shed, (), shed - self._shed)
        self._shed = shed
        unkept = sources.unkept()
        self._add(families.unkept, (), unkept - self._unkept)
        self._unkept = unkept
        self._look_at_breakers()

    def _look_at_breakers(self) -> None:
        states = {(provider, whose): state for provider, whose, state in self._sources.breakers()}
        for labels in self._broken - states.keys():
            self._set(self._families.breaker, labels, 0.0)
        self._broken |= states.keys()
        for labels, state in states.items():
            self._set(self._families.breaker, labels, _STATE.get(state, 2.0))

    def _set(self, family: Family, labels: tuple[str, ...], value: float) -> None:
        self._board.cells[self._board.place(family, labels)] = value

    def _add(self, family: Family, labels: tuple[str, ...], value: float) -> None:
        self._board.cells[self._board.place(family, labels)] += value


def _memory_bytes() -> float:
    """Memory of this process that is in use now; where that is not told, the most it ever was."""
    try:
        return float(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024.0


def _open_files() -> float:
    folder = Path("/dev/fd")
    try:
        # Linux tells it as the size of the folder since 6.2; to count thousands of names would hold the loop up.
        size = folder.stat().st_size if sys.platform == "linux" else 0
        return float(size or sum(1 for _ in folder.iterdir()))
    except OSError:
        return 0.0
