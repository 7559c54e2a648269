"""What the processes of one machine share: locks that end with the process that holds them, and files as memory."""

import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 0.25
"""What is done under the lock takes microseconds, and a busy machine may set its holder aside for a while; after that it was stopped."""
_STUCK_S = 0.005
"""How long the lock of a stopped process is tried: others that work hold it for less."""
_NAP_S = 0.0002


class FileLock:
    """A lock on an open file. It is tried for `PATIENCE_S` and never waited for longer.

    Once that was in vain it is tried for a moment only, until it is free again. So a process that is stopped while it holds the lock
    cannot stop the others: they go on without it, at the risk of counting one call twice or not at all. The kernel frees the lock of a
    process that ends in whatever way.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._is_stuck = False

    def acquire(self) -> bool:
        """Takes the lock; whether it was free in time."""
        if self._take():
            self._is_stuck = False
            return True
        ends_at = time.monotonic() + (_STUCK_S if self._is_stuck else PATIENCE_S)
        nap_s = 0.0
        while time.monotonic() < ends_at:
            # The holder needs the processor more than whoever waits for it.
            time.sleep(nap_s)
            nap_s = _NAP_S
            if self._take():
                self._is_stuck = False
                return True
        self._is_stuck = True
        return False

    def release(self) -> None:
        """Gives the lock back."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives the lock back and forgets the file."""
        os.close(self._file)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class NoLock:
    """For a table that only one process has."""

    def acquire(self) -> bool:
        """At once."""
        return True

    def release(self) -> None:
        """Nothing was taken."""

    def close(self) -> None:
        """Nothing is open."""


class Seats:
    """Numbered places, each held by one living process through a lock on the place's own file."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count
        self._held: int | None = None
        self._file: int | None = None

    def take(self) -> int | None:
        """A free place's number, held until `leave` or the end of this process; None when all are taken."""
        for number in range(self._count):
            file = self._try(number)
            if file is not None:
                self._held, self._file = number, file
                return number
        return None

    def vacate(self, number: int, clear: Callable[[int], None]) -> None:
        """Calls `clear` for a place that nobody holds, and keeps everybody from taking it meanwhile."""
        if number == self._held:
            return
        file = self._try(number)
        if file is None:
            return
        try:
            clear(number)
        finally:
            os.close(file)

    def leave(self) -> None:
        """Gives the place back."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
        self._held = self._file = None

    def _try(self, number: int) -> int | None:
        file = os.open(self._folder / f"seat-{number:02}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        return file


def map_file(path: Path, size: int) -> mmap.mmap:
    """A file's bytes as memory; a new file is zeros that take no room on the disk. Raises `OSError`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(file).st_size < size:
            os.ftruncate(file, size)
        return mmap.mmap(file, size)
    finally:
        os.close(file)
