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
    "INSERT INTO usage VALUES (?, 'r', 'org_1', 'ns_1', 'key_1', 'chat', 'openai', 'm', ?, ?, 1.5, 1.0, 7, 0, 0, 3, 0, 0, 0, 0, 0, 0, "
    "'provider', NULL, NULL, NULL, '[]', ?, NULL, 0, 0)"
)


async def test_calls_of_before_are_added_up(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    began = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in write_statements("sqlite", None, "0002"):
            connection.execute(statement)
        connection.execute("PRAGMA application_id=1229346609")
        for number, (status, cost) in enumerate((("ok", 100), ("error", 11), ("ok", None))):
            connection.execute(_CALL, (str(number), status, int(began.timestamp()) * 10**6, cost))
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
            assert found.statuses == {"ok": 2, "error": 1}
            for by in (("status",), ("status", "model")):
                ways = await ledger.sums(asked, by)
                assert [(way.group[0], way.sums["cost_microusd"]) for way in ways] == [
                    ("error", 11),
                    ("ok", 100),
                ]
        record = await ledger.find_record("2")
        assert record is not None
        assert (record.cost_microusd, record.retries, record.model_version) == (None, 0, None)
    finally:
        database.close()


async def test_histograms_of_before_are_there_by_week_and_by_key_alone(tmp_path: Path) -> None:
    file = tmp_path / "inferway.db"
    thursday = int(datetime(2026, 3, 5, tzinfo=UTC).timestamp()) // 3600
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in write_statements("sqlite", None, "0006"):
            connection.execute(statement)
        connection.execute("PRAGMA application_id=1229346609")
        for day in range(7):
            for model in ("m1", "m2"):
                row = ("org_1", 4, thursday + 24 * day, "ns_1", "key_1", "openai", model, "chat", 2)
                counts = [day + 1 if number == 5 else 0 for number in range(16)]
                connection.execute(
                    f"INSERT INTO usage_latencies VALUES ({', '.join('?' * 25)})", (*row, *counts)
                )
    database = Database.open(file)
    try:
        week = UsageQuery(
            organization_id="org_1",
            start=datetime(2026, 3, 5, tzinfo=UTC),
            end=datetime(2026, 3, 12, tzinfo=UTC),
            key_id="key_1",
        )
        ledger = SqlLedger(database)
        assert [each.histogram for each in await ledger.latencies(week, ("model",))] == [{37: 28}] * 2
        assert [each.histogram for each in await ledger.latencies(week)] == [{37: 56}]
        days = await ledger.latencies(week, ("day",))
        assert [each.histogram[37] for each in days] == [2, 4, 6, 8, 10, 12, 14]
    finally:
        database.close()
