"""One SQLite file in WAL mode: one writer and a few readers, each in a thread of its own."""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from inferway.errors import OperatorError, StoreUnavailable
from inferway.store.sqlite.schema import APPLICATION_ID, STEPS

FILE_NAME = "inferway.db"

_BUSY_TIMEOUT_S = 5.0
_READERS = 2
T = TypeVar("T")


class StoreError(OperatorError):
    """The database file cannot be used; the message is one line that says what to do."""


class Database:
    """The opened file. `read` and `write` run a function on a connection in a thread, never on the event loop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connections: list[sqlite3.Connection] = []
        self._opened = threading.Lock()
        self._local = threading.local()
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(_READERS, "store-reader")

    @classmethod
    def open(cls, file: Path) -> "Database":
        """Opens the file, making it and its folder if there is none, and brings its tables up to date.

        Raises `StoreError` for a file that is not ours, is newer than this program, or cannot be opened.
        """
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(file.with_suffix(".lock")):
                # SQLite gives its -wal and -shm files the mode of the file itself.
                os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
                _bring_up_to_date(file)
        except OSError as error:
            reason = (error.strerror or "unusable").lower()
            raise StoreError(f"{file}: {reason}. Choose a folder you may write with --data-dir.") from None
        except sqlite3.Error as error:
            raise StoreError(f"{file}: {error}. Restore the file, or choose another --data-dir.") from None
        return cls(file)

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a function that only reads; raises `StoreUnavailable` when the file cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._run, function, False)

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a function in one transaction, which is undone when it raises.

        Raises `StoreUnavailable` when the file cannot be written; `sqlite3.IntegrityError` is the caller's to understand.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._run, function, True)

    async def check_reads(self) -> None:
        """Reads something; raises `StoreUnavailable`."""
        await self.read(
            lambda connection: connection.execute("SELECT generation FROM access_state").fetchone()
        )

    async def check_writes(self) -> None:
        """Takes the right to write and gives it back; raises `StoreUnavailable`."""
        await self.write(
            lambda connection: connection.execute("UPDATE access_state SET generation = generation WHERE 0")
        )

    def close(self) -> None:
        """Waits for what is running and closes every connection."""
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _run(self, function: Callable[[sqlite3.Connection], T], writes: bool) -> T:  # noqa: FBT001 -- executors pass positions
        try:
            connection = self._connection()
            return _in_transaction(connection, function) if writes else function(connection)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise StoreUnavailable("The database cannot be used right now.", retry_after_s=5) from error

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection, opened when it is first needed."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _connect(self._file)
            with self._opened:
                self._connections.append(connection)
        return connection


def _in_transaction(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        answer = function(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answer


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, _BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    # FULL, because a journal file is deleted once its records are committed here: they must be on the disk by then.
    for setting in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-2000"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _bring_up_to_date(file: Path) -> None:
    connection = _connect(file)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        is_empty = not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        if owner != APPLICATION_ID and not is_empty:
            raise StoreError(f"{file}: this is another program's database. Choose another --data-dir.")
        if version > len(STEPS):
            raise StoreError(
                f"{file}: written by a newer Inferway (format {version}, this one reads {len(STEPS)}). "
                "Install that version again, or choose another --data-dir."
            )
        connection.execute("PRAGMA journal_mode=WAL")
        if version < len(STEPS):
            _in_transaction(connection, lambda within: _apply(within, version))
    finally:
        connection.close()


def _apply(connection: sqlite3.Connection, version: int) -> None:
    for step in STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={len(STEPS)}")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds a file lock, so that processes that start at once do not race for the change to WAL mode."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
