"""PostgreSQL: what is refused at start, what an outage looks like, and that no wait is without an end."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from inferway.errors import StoreUnavailable
from inferway.store.errors import StoreError
from inferway.store.ledger import SqlLedger
from inferway.store.migrations.revisions import revisions
from inferway.store.postgres.database import PostgresDatabase
from inferway.store.postgres.outage import Outage
from inferway.store.usage_rows import COLUMNS, row_of
from inferway.store.work import Work, ask
from inferway.usage.drain import Drain
from inferway.usage.frames import read_batches
from inferway.usage.journal import SUFFIX, Journal
from tests.contract.test_ledger import PLAIN
from tests.databases.postgres import Postgres

_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    opened = PostgresDatabase(url, timeout_s=20)
    yield opened
    await opened.aclose()


async def answer_of(database: PostgresDatabase, text: str) -> object:
    """The one value that a statement answers with, once the database is back."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(StoreUnavailable):
                return (await database.select(text))[0][0]
            await asyncio.sleep(0.05)


async def test_several_that_start_at_once_make_the_tables_once(url: str) -> None:
    several = [PostgresDatabase(url, timeout_s=20) for _ in range(4)]
    await asyncio.gather(*(each.bring_up_to_date() for each in several))
    assert {await each.find_revision() for each in several} == {revisions()[-1]}
    assert len(await several[0].select("SELECT generation FROM access_state")) == 1
    await asyncio.gather(*(each.aclose() for each in several))


async def test_a_newer_database_is_refused_and_left_alone(database: PostgresDatabase) -> None:
    await database.bring_up_to_date()

    def newer() -> Work[None]:
        yield ask("UPDATE alembic_version SET version_num = '9999'")

    await database.change(newer())
    with pytest.raises(StoreError, match=r"newer Inferway \(format 9999"):
        await database.bring_up_to_date()
    assert await database.find_revision() == "9999"


async def test_an_upgrade_that_fails_leaves_nothing(url: str, database: PostgresDatabase) -> None:
    connection = await asyncpg.connect(url)
    # The second revision makes a table of this name.
    await connection.execute("CREATE TABLE secrets (x INT)")
    await connection.close()
    with pytest.raises(StoreUnavailable):
        await database.bring_up_to_date()
    assert await database.find_revision() is None


@pytest.mark.parametrize(
    "wrong",
    [
        *("mysql://u:hidden@h/d", "postgresql//u:hidden@h", "u:hidden@h", "http://u:hidden@[::1/d"),
        *("postgresql://u:hidden@h:port/d", "postgresql://u:hidden@h:1,i:port/d"),
    ],
)
def test_an_impossible_url_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(StoreError, match=r"database.url: expected postgresql://") as caught:
        PostgresDatabase(wrong)
    assert "hidden" not in str(caught.value)


def test_several_hosts_may_be_named() -> None:
    PostgresDatabase("postgresql://u:p@h:1,[::1]:2,i/d")


@pytest.mark.parametrize(
    ("change", "said"),
    [("//postgres:", "//nobody:"), ("/test_", "/gone_"), ("postgres:", "postgres:wrong")],
    ids=["user", "name", "password"],
)
async def test_what_waiting_does_not_mend_is_told(
    url: str, change: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = PostgresDatabase(url.replace(change, said, 1), timeout_s=20)
    with pytest.raises(StoreError, match=r"Check database.url") as caught:
        await database.bring_up_to_date()
    password = url.partition("postgres:")[2].partition("@")[0]
    assert password not in str(caught.value) + caplog.text
    with pytest.raises(StoreUnavailable):
        await database.select("SELECT 1")
    await database.aclose()


async def test_a_server_that_is_not_there_is_told_at_once_and_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        database = PostgresDatabase(f"postgresql://u:hidden@127.0.0.1:{free.getsockname()[1]}/d")
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            with pytest.raises(StoreUnavailable):
                await database.select("SELECT 1")
    assert time.monotonic() - began < 3
    assert caplog.text.count("the database is away") == 1
    assert "hidden" not in caplog.text
    await database.aclose()


async def test_a_server_that_says_nothing_holds_up_nobody() -> None:
    # The kernel lets connections in; nobody reads from them.
    silent = socket.create_server(("127.0.0.1", 0), backlog=256)
    database = PostgresDatabase(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/d", timeout_s=0.3)
    began = time.monotonic()
    done = await asyncio.gather(*(database.select("SELECT 1") for _ in range(100)), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in done)
    assert time.monotonic() - began < 5
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await database.select("SELECT 1")
    assert time.monotonic() - began < 0.3, "once it is known, nobody waits"
    await database.aclose()
    silent.close()


async def test_a_statement_that_takes_too_long_is_given_up_and_the_next_one_works(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = PostgresDatabase(url, connections=1, timeout_s=0.5)
    assert (await database.select("SELECT 1"))[0][0] == 1
    with pytest.raises(StoreUnavailable):
        await database.select("SELECT pg_sleep(30)")
    assert await answer_of(database, "SELECT 2") == 2
    assert "the database is back" in caplog.text
    await database.aclose()


async def test_a_connection_that_the_server_ended_is_followed_by_another(
    url: str, database: PostgresDatabase
) -> None:
    first = await answer_of(database, "SELECT pg_backend_pid()")
    killer = await asyncpg.connect(url)
    await killer.execute(f"SELECT pg_terminate_backend({first})")
    await killer.close()
    assert await answer_of(database, "SELECT pg_backend_pid()") not in {None, first}


async def test_no_more_connections_are_made_than_allowed(url: str) -> None:
    database = PostgresDatabase(url, connections=2, timeout_s=20)
    await asyncio.gather(*(database.select("SELECT pg_sleep(0.01)") for _ in range(40)))
    rows = await database.select("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    assert 1 <= rows[0][0] <= 2
    await database.aclose()


async def test_the_name_shows_no_password(url: str, database: PostgresDatabase) -> None:
    assert database.name == "postgresql://" + url.rpartition("@")[2]


def test_while_it_is_away_one_at_a_time_tries() -> None:
    now = [100.0]
    outage = Outage(3.0, clock=lambda: now[0])
    assert [outage.allows(), outage.allows()] == [True, True]
    assert [outage.failed(), outage.failed()] == [True, False]
    assert not outage.allows()
    now[0] += 0.6
    assert [outage.allows(), outage.allows()] == [True, False]
    now[0] += 2.9
    assert not outage.allows(), "the try may take as long"
    now[0] += 0.2
    assert outage.allows(), "one that was given up counts as failed"
    assert [outage.answered(), outage.answered()] == [True, False]
    assert [outage.allows(), outage.allows()] == [True, True]


async def test_writers_who_add_the_same_records_in_another_order_do_not_wait_crosswise(
    url: str, database: PostgresDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    await database.bring_up_to_date()
    ledger = SqlLedger(database)
    records = [replace(PLAIN, record_id=f"{number:02}") for number in range(50)]
    other = await asyncpg.connect(url)
    # Whoever comes to the record in the middle waits until the other writer gives it up, and holds all before it.
    held = other.transaction()
    await held.start()
    filled = {**dict(zip(COLUMNS, row_of(PLAIN), strict=True)), "record_id": "25"}
    places = ", ".join(f"${number}" for number in range(1, len(filled) + 1))
    await other.execute(f"INSERT INTO usage ({', '.join(filled)}) VALUES ({places})", *filled.values())
    writers = [asyncio.create_task(ledger.add(each)) for each in (records, records[::-1])]
    async with asyncio.timeout(20):
        # Each question is a look at the server.
        while await other.fetchval(_WAITING) < len(writers):
            pass
    await held.rollback()
    await other.close()
    assert sum(await asyncio.gather(*writers)) == len(records)
    assert "refuses" not in caplog.text


async def test_a_record_that_no_index_can_hold_is_laid_aside_and_holds_up_no_other(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    await database.bring_up_to_date()
    ledger, journal = SqlLedger(database), Journal(tmp_path)
    endless = replace(PLAIN, record_id="long", model="".join(map(chr, range(0x20000, 0x20000 + 4_000))))
    for each in (endless, PLAIN):
        await journal.settle(each)
    assert await Drain(journal, ledger).move() == 1
    assert await ledger.find_record(PLAIN.record_id) == PLAIN
    aside = tmp_path / f"refused{SUFFIX}"
    assert [len(batch) for batch, _ in read_batches(aside)] == [1]
