"""Work on a database, told statement by statement: one text that a blocking driver runs as well as an asynchronous one."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from msgspec import Struct

T = TypeVar("T")

Kind = Literal["text", "integer", "real", "blob"]
"""What a column holds."""

Row = Any
"""What a statement answers with: its values by position and by name of the column."""


class Ask(Struct, frozen=True):
    """One statement; `$1`, `$2` … stand for its values. It answers with its rows."""

    text: str
    values: tuple[Any, ...] = ()


class Each(Struct, frozen=True):
    """One statement for each row of values. It answers with nothing."""

    text: str
    rows: Sequence[tuple[Any, ...]]


class Fill(Struct, frozen=True):
    """New rows of a table, in bulk; those whose key is there already are left out. It answers with one row: how many were new.

    `columns` are names and their kinds, in the order of the values. Of rows with the same key the first counts.
    """

    table: str
    key: str
    columns: Mapping[str, Kind]
    rows: Sequence[tuple[Any, ...]]


class Merge(Struct, frozen=True):
    """Rows in bulk whose counts are added to those of the row that has the same key, if there is one. It answers with nothing.

    `key` are names and their kinds, `added` names of integers behind them, in the order of the values. No two rows have the same key.
    """

    table: str
    key: Mapping[str, Kind]
    added: Sequence[str]
    rows: Sequence[tuple[Any, ...]]

    @property
    def columns(self) -> dict[str, Kind]:
        """All of them, with their kinds."""
        return {**self.key, **dict.fromkeys(self.added, "integer")}

    @property
    def rule(self) -> str:
        """What the statement says of rows that are there."""
        adding = ", ".join(f"{name} = {self.table}.{name} + excluded.{name}" for name in self.added)
        return f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {adding}"


Step = Ask | Each | Fill | Merge
Work = Generator[Step, Sequence[Row], T]
"""Yields statements, is sent their rows, and returns what came of it. It may raise: then nothing of it remains."""


class Taken(Exception):
    """A row would break uniqueness."""


class SqlDatabase(Protocol):
    """A database with our tables. Every method raises `StoreUnavailable` while it cannot be used, and never waits for ever."""

    async def select(self, text: str, *values: Any) -> Sequence[Row]:
        """The rows of one statement that only reads."""
        ...

    async def report(self, questions: Sequence[Ask]) -> list[Row]:
        """The rows of several statements that only read, one after the other as of one moment; they may read much and take long."""
        ...

    async def change(self, work: Work[T]) -> T:
        """Runs a work in one transaction, all or nothing. Raises `Taken`, and what the work raises."""
        ...

    async def fill(self, work: Work[T]) -> T:
        """The same, for a work that may write much and take long."""
        ...

    async def aclose(self) -> None:
        """Ends what runs and closes every connection."""
        ...


def ask(text: str, *values: Any) -> Ask:
    """An `Ask` with its values."""
    return Ask(text, values)


async def check_reads(database: SqlDatabase) -> None:
    """Reads something. Raises `StoreUnavailable`."""
    await database.select("SELECT generation FROM access_state")


async def check_writes(database: SqlDatabase) -> None:
    """Takes the right to write and gives it back. Raises `StoreUnavailable`."""

    def touch() -> Work[None]:
        yield Ask("UPDATE access_state SET generation = generation WHERE 1 = 0")

    await database.change(touch())
