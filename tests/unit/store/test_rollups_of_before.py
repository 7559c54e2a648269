"""Calls that were recorded before there were rollups are in them after the step."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from inferway.store.ledger import SqlLedger
from inferway.store.migrations.writer import write_statements
from inferway.store.sqlite.database import Database
from inferway.usage.queries import UsageQuery

_CALL = (
    "INSERT INTO usage VALUES (?, 'r', 'org_1', 'ns_1', 'key_1', 'chat', 'openai', 'm', 'ok', ?, 1.5, 1.0, 7, 0, 0, 3, 0, 0, 0, 0, 0, 0, "
    "'provider', NULL, NULL, NULL, '[]', ?, NULL, 0, 0)"
)


async def test_calls_of_before_are_added_up(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    began = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in write_statements("sqlite", None, "0002"):
            connection.execute(statement)
        connection.execute("PRAGMA application_id=1229346609")
        for number, cost in enumerate((100, 11, None)):
            connection.execute(_CALL, (str(number), int(began.timestamp()) * 10**6, cost))
    database = Database.open(file)
    try:
        ledger = SqlLedger(database)
        query = UsageQuery(
            organization_id="org_1",
            start=began.replace(hour=0),
            end=began.replace(day=6, hour=0),
            key_id="key_1",
        )
        for asked in (
            query,
            UsageQuery(organization_id="org_1", start=query.start, end=began.replace(hour=9)),
        ):
            (found,) = await ledger.sums(asked, ("day",))
            assert found.group == (datetime(2026, 3, 4, tzinfo=UTC),)
            told = [
                found.sums[name]
                for name in ("calls", "input", "output", "cost_microusd", "unpriced", "latency_us")
            ]
            assert told == [3, 21, 9, 111, 1, 4500]
        record = await ledger.find_record("2")
        assert record is not None
        assert (record.cost_microusd, record.retries, record.model_version) == (None, 0, None)
    finally:
        database.close()
