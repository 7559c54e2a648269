"""The journal: where a call is announced before it goes out and accounted for before its answer leaves.

Each worker appends to files in a folder of its own, which it holds locked while it lives. `durability = "process"` writes without
fsync: what was written survives the process, however it dies. `"power"` also waits for the disk before `settle` returns; all calls
that wait at once share one fsync.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from msgspec import Struct

from inferway.errors import JournalFull, OperatorError
from inferway.usage.frames import encode_intent, encode_settled
from inferway.usage.records import Intent, UsageRecord

LOCK_NAME = "lock"
SUFFIX = ".journal"

_MIB = 1024 * 1024
_MAX_LATE = 10_000
_MAX_KEPT = 10_000
"""Settled records that are kept in memory for the mover, which then need not read them."""

_MANY = 800
"""So many records that wait call the mover. By the time it comes there are some more, and one transaction takes a thousand."""


class Span(Struct, frozen=True, kw_only=True):
    """A stretch of a journal file that has not been moved to the ledger yet, in bytes."""

    file: Path
    start: int
    end: int
    records: tuple[UsageRecord, ...] | None = None
    """What is settled there, when it is still in memory; else it must be read."""


class _File:
    """One file of the journal: how much was written, moved, and how many of its intents are still open."""

    __slots__ = (
        "descriptor",
        "drained",
        "is_damaged",
        "kept",
        "kept_from",
        "many_wait",
        "open_intents",
        "path",
        "size",
    )

    def __init__(self, path: Path, many_wait: asyncio.Event) -> None:
        self.path, self.many_wait = path, many_wait
        self.descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        os.fchmod(self.descriptor, 0o600)
        self.size = self.drained = self.open_intents = self.kept_from = 0
        self.is_damaged = False
        self.kept: list[UsageRecord] = []

    def keep(self, record: UsageRecord) -> None:
        """Remembers a record that was written; when there are too many all are read from the file later."""
        count = len(self.kept)
        if count < _MAX_KEPT:
            self.kept.append(record)
            if count == _MANY:
                self.many_wait.set()
        else:
            self.kept_from = -1

    def hand_over(self) -> Span:
        """What was written and not moved."""
        records = tuple(self.kept) if self.kept_from == self.drained else None
        self.kept, self.kept_from = [], self.size
        return Span(file=self.path, start=self.drained, end=self.size, records=records)

    def append(self, frame: bytes) -> None:
        """Writes a whole entry or nothing; raises OSError."""
        written = 0
        try:
            written = os.write(self.descriptor, frame)
            while written < len(frame):
                written += os.write(self.descriptor, frame[written:])
        except OSError:
            if written:
                self._take_back()
            raise
        self.size += len(frame)

    def _take_back(self) -> None:
        """Cuts off half an entry; where that fails nothing more is written to this file, as readers stop at the tear."""
        try:
            os.ftruncate(self.descriptor, self.size)
        except OSError:
            self.is_damaged = True


class Journal:
    """One worker's journal. All methods are called on the event loop's thread."""

    def __init__(
        self,
        folder: Path,
        *,
        durability: Literal["process", "power"] = "process",
        file_bytes: int = 16 * _MIB,
        backlog_bytes: int = 1024 * _MIB,
    ) -> None:
        """Makes and locks this worker's folder below `folder`. Raises `OperatorError` when that cannot be done."""
        self._is_power_safe = durability == "power"
        self._file_bytes, self._backlog_bytes = file_bytes, backlog_bytes
        self._files: list[_File] = []
        self._next_number = 1
        self._open: dict[str, _File] = {}
        self._late: list[UsageRecord] = []
        self._many_wait = asyncio.Event()
        self._pending_bytes = 0
        self._is_broken = False
        self._waiting: list[asyncio.Future[None]] = []
        self._unsynced: dict[int, None] = {}
        self._retired: list[int] = []
        self._syncing: asyncio.Task[None] | None = None
        self._sync_thread = ThreadPoolExecutor(1, "journal-sync") if self._is_power_safe else None
        try:
            self.folder, self._lock = _make_locked_folder(folder)
            self._current = self._start_file()
        except OSError as error:
            reason = (error.strerror or "not writable").lower()
            raise OperatorError(
                f"{folder}: {reason}. Make room there, or choose another --data-dir."
            ) from None

    @property
    def open_intents(self) -> int:
        """Calls that are announced and not accounted for."""
        return len(self._open)

    @property
    def pending_bytes(self) -> int:
        """What has not been moved to the ledger yet, in bytes."""
        return self._pending_bytes

    async def intend(self, intent: Intent) -> None:
        """Announces a call; must come before anything is sent. Raises `JournalFull` when it cannot be recorded."""
        if self._pending_bytes > self._backlog_bytes:
            raise JournalFull("Usage cannot be recorded right now: too much of it waits.", retry_after_s=5)
        self._append(encode_intent(intent))
        self._current.open_intents += 1
        self._open[intent.record_id] = self._current

    async def settle(self, record: UsageRecord) -> None:
        """Accounts for a call; must return before the answer leaves.

        Raises `JournalFull` when it cannot be recorded: the answer must not leave then. The record itself is kept and written
        as soon as there is room.
        """
        try:
            self._write_settled(record)
        except JournalFull:
            if len(self._late) < _MAX_LATE:
                self._late.append(record)
            raise
        if self._is_power_safe:
            await self._synced()

    def pending(self) -> list[Span]:
        """The stretches to move to the ledger, oldest first; what could not be written earlier is tried again first."""
        self._retry_late()
        return [each.hand_over() for each in self._files if each.size > each.drained]

    async def wait_for_many(self, within_s: float) -> None:
        """Wait until many settled records wait to be moved, or so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._many_wait.wait()
        self._many_wait.clear()

    def mark_drained(self, file: Path, end: int) -> None:
        """Notes that a file is in the ledger up to an offset, and deletes files that hold nothing more."""
        for each in self._files:
            if each.path == file:
                self._pending_bytes -= end - each.drained
                each.drained = end
        for each in [each for each in self._files if each is not self._current and self._is_spent(each)]:
            self._files.remove(each)
            each.path.unlink(missing_ok=True)

    async def aclose(self) -> None:
        """Brings all to the disk and frees the folder, which is deleted when the ledger has everything."""
        if self._syncing is not None:
            await asyncio.gather(self._syncing, return_exceptions=True)
        if self._sync_thread is not None:
            _sync_all(self.folder, list(self._unsynced))
            self._unsynced = {}
            self._sync_thread.shutdown(wait=True)
        self._retired.append(self._current.descriptor)
        self._close_retired()
        if all(map(self._is_spent, self._files)) and not self._late:
            for each in self._files:
                each.path.unlink(missing_ok=True)
            remove_folder(self.folder)
        os.close(self._lock)

    def _is_spent(self, file: _File) -> bool:
        return file.drained >= file.size and not file.open_intents

    def _write_settled(self, record: UsageRecord) -> None:
        self._append(encode_settled(record))
        self._current.keep(record)
        announced_in = self._open.pop(record.record_id, None)
        if announced_in is not None:
            announced_in.open_intents -= 1

    def _append(self, frame: bytes) -> None:
        if self._is_broken:
            raise _broken()
        try:
            if self._current.size >= self._file_bytes or self._current.is_damaged:
                self._rotate()
            self._current.append(frame)
        except OSError as error:
            raise JournalFull(
                "Usage cannot be recorded right now: the disk is full or failed.", retry_after_s=5
            ) from error
        self._pending_bytes += len(frame)
        if self._is_power_safe:
            self._unsynced[self._current.descriptor] = None

    def _rotate(self) -> None:
        old, self._current = self._current, self._start_file()
        self._retired.append(old.descriptor)
        if self._syncing is None or self._syncing.done():
            self._close_retired()

    def _close_retired(self) -> None:
        """Closes the files that are written no more, once nobody waits for their sync."""
        for descriptor in [each for each in self._retired if each not in self._unsynced]:
            self._retired.remove(descriptor)
            os.close(descriptor)

    def _start_file(self) -> _File:
        fresh = _File(self.folder / f"{self._next_number:010d}{SUFFIX}", self._many_wait)
        self._next_number += 1
        self._files.append(fresh)
        return fresh

    def _retry_late(self) -> None:
        while self._late:
            try:
                self._write_settled(self._late[0])
            except JournalFull:
                return
            del self._late[0]

    async def _synced(self) -> None:
        """Waits until everything written so far is on the disk."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.get_running_loop().create_task(self._sync_groups())
        await waiter

    async def _sync_groups(self) -> None:
        """Syncs for everybody who waits, group after group; a failed sync is never trusted again."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            descriptors, self._unsynced = list(self._unsynced), {}
            is_safe = await loop.run_in_executor(self._sync_thread, _sync_all, self.folder, descriptors)
            self._is_broken = self._is_broken or not is_safe
            for waiter in [each for each in group if not each.done()]:
                if is_safe:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(_broken())
            self._close_retired()


def _broken() -> JournalFull:
    return JournalFull(
        "Usage cannot be recorded: the disk failed. The server must be restarted.", retry_after_s=30
    )


def _sync_all(folder: Path, descriptors: list[int]) -> bool:
    """Brings files and their folder's entries to the disk, and says whether the disk took them."""
    try:
        for descriptor in descriptors:
            os.fdatasync(descriptor)
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError:
        return False
    return True


def try_lock(folder: Path) -> int | None:
    """Takes over the folder of a dead worker: a descriptor that holds its lock, or None while its worker lives."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove_folder(folder: Path) -> None:
    """Deletes a folder that holds nothing but its lock."""
    (folder / LOCK_NAME).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _make_locked_folder(parent: Path) -> tuple[Path, int]:
    """A folder gets its real name only once it is locked, so that nobody takes it for a dead worker's."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{time.time_ns():016x}-{os.getpid()}"
    fresh = parent / f".{name}"
    fresh.mkdir(mode=0o700)
    descriptor = os.open(fresh / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return fresh.rename(parent / name), descriptor
