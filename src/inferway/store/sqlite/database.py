"""One SQLite file in WAL mode: one writer and a few readers, each in a thread of its own."""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

from inferway.errors import StoreUnavailable
from inferway.store.errors import StoreError
from inferway.store.migrations.revisions import CURRENT, VERSION_TABLE, is_current, revisions, statements
from inferway.store.work import Ask, Each, Merge, Row, Step, Taken, Work

FILE_NAME = "inferway.db"

_TAKEN = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
_APPLICATION_ID = 0x49465731
"""Marks a file as ours ("IFW1")."""
_BUSY_TIMEOUT_S = 5.0
_READERS = 2
_ROWS_AT_ONCE = 64
"""Each statement gives the interpreter's lock away and has to wait for it again, so that many rows are one statement."""
T = TypeVar("T")


class Database:
    """The `SqlDatabase` in one file. Statements run in threads, never on the event loop."""

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
            raise StoreError(f"{file}: {error}. {_advice(error)}") from None
        return cls(file)

    @staticmethod
    def find_revision(file: Path) -> str | None:
        """The revision of a file's tables, changing nothing; None when there is no file, or nothing in it. Raises `StoreError`."""
        if not file.exists():
            return None
        try:
            with closing(_connect(file)) as connection:
                _require_ours(connection, file)
                return _revision(connection)[0]
        except sqlite3.Error as error:
            raise StoreError(f"{file}: {error}. {_advice(error)}") from None

    async def select(self, text: str, *values: Any) -> Sequence[Row]:
        """See `SqlDatabase`."""
        return await self._on(self._readers, lambda connection: _ask(connection, Ask(text, values)))

    async def report(self, questions: Sequence[Ask]) -> list[Row]:
        """See `SqlDatabase`; there is no more patience here than for anything else."""

        def answers(connection: sqlite3.Connection) -> list[Row]:
            return [row for each in questions for row in _ask(connection, each)]

        return await self._on(
            self._readers,
            lambda connection: _in_transaction(connection, lambda: answers(connection), "BEGIN"),
        )

    async def change(self, work: Work[T]) -> T:
        """See `SqlDatabase`."""
        return await self._on(
            self._writer, lambda connection: _in_transaction(connection, lambda: _do(connection, work))
        )

    async def fill(self, work: Work[T]) -> T:
        """See `SqlDatabase`."""
        return await self.change(work)

    async def aclose(self) -> None:
        """See `SqlDatabase`."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Waits for what is running and closes every connection."""
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    async def _on(self, threads: ThreadPoolExecutor, function: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, self._run, function)

    def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return function(self._connection())
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname not in _TAKEN:
                raise
            raise Taken from None
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


def _do(connection: sqlite3.Connection, work: Work[T]) -> T:
    """Runs a work to its end, sending it the rows of each statement."""
    rows: Sequence[Row] | None = None
    while True:
        try:
            # The first value that a generator is sent must be None.
            step = work.send(cast("Sequence[Row]", rows))
        except StopIteration as ended:
            return cast("T", ended.value)
        rows = _ask(connection, step)


def _ask(connection: sqlite3.Connection, step: Step) -> Sequence[Row]:
    if isinstance(step, Ask):
        return connection.execute(_places(step.text), step.values).fetchall()
    if isinstance(step, Each):
        connection.executemany(_places(step.text), step.rows)
        return ()
    before = connection.total_changes
    rule = step.rule if isinstance(step, Merge) else f"ON CONFLICT ({step.key}) DO NOTHING"
    columns = tuple(step.columns)
    for part in _parts(step.rows):
        text = _fill_text(step.table, columns, rule, len(part))
        connection.execute(text, list(chain.from_iterable(part)))
    return ((connection.total_changes - before,),)


def _parts(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows in parts of few different sizes, as each size is a statement of its own: one that is parsed, and kept by its connection."""
    start, left, size = 0, len(rows), _ROWS_AT_ONCE
    while left:
        while size > left:
            size //= 2
        yield rows[start : start + size]
        start, left = start + size, left - size


def _places(text: str) -> str:
    """SQLite's way to number the places of values; no text of ours has this sign elsewhere."""
    return text.replace("$", "?")


@lru_cache(maxsize=32)
def _fill_text(table: str, columns: tuple[str, ...], rule: str, count: int) -> str:
    places = ", ".join([f"({', '.join('?' * len(columns))})"] * count)
    # Names of our own tables and columns.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {places} {rule}"  # noqa: S608


def _in_transaction(
    connection: sqlite3.Connection, function: Callable[[], T], begin: str = "BEGIN IMMEDIATE"
) -> T:
    connection.execute(begin)
    try:
        answer = function()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answer


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        # FULL, because a journal file is deleted once its records are committed here: they must be on the disk by then.
        for setting in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-2000"):
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def _advice(error: sqlite3.Error) -> str:
    """What to do about a file that cannot be used."""
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_FULL":
            return "Make room there, or choose another --data-dir."
        case "SQLITE_READONLY" | "SQLITE_CANTOPEN":
            return "Choose a folder you may write with --data-dir."
        case _:
            return "Restore the file, or choose another --data-dir."


def _bring_up_to_date(file: Path) -> None:
    with closing(_connect(file)) as connection:
        _require_ours(connection, file)
        found, is_noted = _revision(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        if found is not None and is_current(found, str(file)) and is_noted:
            return
        steps = _take_over(found) if found is not None and not is_noted else ()
        if found is None or not is_current(found, str(file)):
            steps = (*steps, *statements("sqlite", found))
        _in_transaction(connection, lambda: _apply(connection, steps))


def _require_ours(connection: sqlite3.Connection, file: Path) -> None:
    """Raises `StoreError` for a database that another program made."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    is_empty = not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    if owner != _APPLICATION_ID and not is_empty:
        raise StoreError(f"{file}: this is another program's database. Choose another --data-dir.")


def _revision(connection: sqlite3.Connection) -> tuple[str | None, bool]:
    """The revision of a file's tables (None: there are none), and whether it is noted where alembic looks for it."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone():
        return str(connection.execute(CURRENT).fetchone()[0]), True
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    return (f"{version:04}" if version else None), False


def _take_over(revision: str) -> tuple[str, ...]:
    """Notes the revision of a file from before alembic, which counted the same steps in its header."""
    made = f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    return made, f"INSERT INTO {VERSION_TABLE} VALUES ('{revision}')"  # noqa: S608 - four digits


def _apply(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    for step in steps:
        connection.execute(step)
    connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    # The number in the header keeps programs away that know nothing of alembic's table.
    connection.execute(f"PRAGMA user_version={int(revisions()[-1])}")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds a file lock, so that processes that start at once do not race for the change to WAL mode."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
