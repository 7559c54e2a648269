"""A worker that records calls as fast as it can until it is killed; it tells on its standard output what it has done.

`> id` stands for a call that went out, `= id` for an answer that left.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from inferway.store.ledger import SqlLedger
from inferway.store.sqlite.database import Database
from inferway.types import Usage
from inferway.usage.drain import Drain
from inferway.usage.journal import Journal
from inferway.usage.records import Intent, UsageRecord


def announced(record_id: str) -> Intent:
    """A call that goes out now."""
    return Intent(
        record_id=record_id,
        request_id="r",
        organization_id="org_1",
        namespace_id="ns_1",
        key_id="key_1",
        operation="chat",
        provider="openai",
        model="gpt",
        started_at=datetime.now(UTC),
    )


def settled(intent: Intent) -> UsageRecord:
    """How it ended."""
    return UsageRecord(
        record_id=intent.record_id,
        request_id="r",
        organization_id="org_1",
        namespace_id="ns_1",
        key_id="key_1",
        operation="chat",
        provider="openai",
        model="gpt",
        started_at=intent.started_at,
        status="ok",
        latency_ms=1.0,
        upstream_ms=1.0,
        usage=Usage(input=1, source="provider"),
    )


async def caller(journal: Journal, name: str) -> None:
    """Makes calls one after the other, for ever."""
    count = 0
    while True:
        intent = announced(f"{name}-{count}")
        await journal.intend(intent)
        os.write(1, f"> {intent.record_id}\n".encode())
        await asyncio.sleep(0)
        await journal.settle(settled(intent))
        os.write(1, f"= {intent.record_id}\n".encode())
        count += 1


async def main(home: Path, run: str) -> None:
    """Four callers and the mover on small files, so that a kill meets rotation, moving and deleting too."""
    journal = Journal(home / "journal", file_bytes=4000)
    drain = Drain(journal, SqlLedger(Database.open(home / "inferway.db")), every_s=0.01)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drain.run())
        for n in range(4):
            tasks.create_task(caller(journal, f"{run}.{n}"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
