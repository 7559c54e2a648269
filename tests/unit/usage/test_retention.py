"""What is too old goes in short steps, and nothing goes that is to be kept."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from inferway.store.memory.ledger import MemoryLedger
from inferway.usage.queries import Cutoffs, UsageQuery
from inferway.usage.records import UsageRecord
from inferway.usage.retention import Kept, Retention

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
Records = Callable[[str], UsageRecord]
WHOLE = UsageQuery(organization_id="org_1", start=NOW - timedelta(days=999), end=NOW + timedelta(days=1))


class Watched(MemoryLedger):
    """Counts the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    async def prune(self, cutoffs: Cutoffs, limit: int) -> int:
        gone = await super().prune(cutoffs, limit)
        self.steps.append(gone)
        return gone


async def filled(record: Records) -> Watched:
    ledger = Watched()
    calls = [
        replace(record(f"{age}-{number}"), started_at=NOW - timedelta(days=age))
        for age in (0, 1, 10, 100)
        for number in range(600)
    ]
    await ledger.add(calls)
    return ledger


async def test_calls_and_sums_have_times_of_their_own(record: Records) -> None:
    ledger, waits = await filled(record), list[float]()

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    retention = Retention(ledger, Kept(calls_days=5, hourly_days=50), sleep=wait, now=lambda: NOW)
    assert await retention.sweep() > 1200
    assert max(ledger.steps) < 600, "a step is short"
    assert len(waits) == len(ledger.steps) - 1
    assert len(await ledger.scan(WHOLE, limit=9999)) == 1200
    assert [each.sums["calls"] for each in await ledger.sums(WHOLE, ("day",))] == [600] * 4
    assert len(await ledger.sums(WHOLE, ("hour",))) == 3
    assert await retention.sweep() == 0


@pytest.mark.parametrize("kept", [Kept(), Kept(calls_days=101, hourly_days=101, daily_days=101)])
async def test_what_is_to_be_kept_stays(kept: Kept, record: Records) -> None:
    ledger = await filled(record)
    assert await Retention(ledger, kept, now=lambda: NOW).sweep() == 0
    assert len(await ledger.scan(WHOLE, limit=9999)) == 2400


async def test_without_a_limit_nothing_runs(record: Records) -> None:
    await Retention(await filled(record), Kept()).run()


async def test_a_database_that_is_away_is_tried_again(
    record: Records, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = await filled(record)
    ledger.is_away = True
    rounds = 0

    async def wait(seconds: float) -> None:
        nonlocal rounds
        rounds += seconds > 60
        if rounds == 2:
            ledger.is_away = False
        if rounds == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Retention(ledger, Kept(calls_days=5), sleep=wait, now=lambda: NOW).run()
    assert "could not be deleted" in caplog.text
    assert len(await ledger.scan(WHOLE, limit=9999)) == 1200
