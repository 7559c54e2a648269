"""The databases that the stores run on, as fixtures."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from inferway.store.postgres.database import PostgresDatabase
from inferway.store.sqlite.database import Database
from inferway.store.work import SqlDatabase
from tests.databases.postgres import Postgres, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the whole session, which no test stops: those that do have their own."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh store is, once for each kind: `memory`, a file, or the URL of an empty database."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()
    return "memory" if request.param == "memory" else str(tmp_path / "inferway.db")


@pytest.fixture
async def database(place: str) -> AsyncIterator[SqlDatabase | None]:
    """The opened database at the place; None for the memory."""
    opened = None if place == "memory" else await open_database(place)
    yield opened
    if opened is not None:
        await opened.aclose()


async def open_database(place: str) -> SqlDatabase:
    """The database at a place, its tables made."""
    if not place.startswith("postgresql:"):
        return Database.open(Path(place))
    remote = PostgresDatabase(place, timeout_s=20)
    await remote.bring_up_to_date()
    return remote


EVERY_DATABASE = pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
"""For tests that nothing kept in the memory of one process can pass."""
