"""What may be spent, by a calendar that a test sets."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inferway.errors import QuotaExceeded, StoreUnavailable
from inferway.limits.book import SpendBook
from inferway.limits.spend import LocalSpend, SpendKeeper
from inferway.types import SpendCap

KEY = SpendCap(resource="key", id="key_1", organization_id="org_1", daily_microusd=1_000_000)
HOUSE = SpendCap(resource="organization", id="org_1", organization_id="org_1", monthly_microusd=100)


class Calendar:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 23, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Rows:
    """A ledger that says what a test tells it."""

    def __init__(self) -> None:
        self.is_away = False
        self.sums = (0, 0)
        self.costs: dict[str, int | None] = {}
        self.asked = 0

    async def spent(self, cap: SpendCap, *, day: datetime, month: datetime) -> tuple[int, int]:
        assert cap.organization_id
        assert (day.hour, month.day, day.month) == (0, 1, month.month)
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return self.sums

    async def cost_of(self, record_id: str) -> tuple[bool, int | None]:
        return record_id in self.costs, self.costs.get(record_id)


def test_a_cap_is_passed_by_one_reservation_at_most(tmp_path: Path) -> None:
    calendar = Calendar()
    book = SpendBook(tmp_path, now=calendar)
    book.reserve([KEY], 990_000, "a")
    book.reserve([KEY], 50_000, "b")
    with pytest.raises(QuotaExceeded) as caught:
        book.reserve([KEY], 1, "c")
    assert caught.value.details == {
        "resource": "key_daily_usd",
        "current": 1.04,
        "limit": 1.0,
        "id": "key_1",
        "resets_at": "2026-02-01T00:00:00Z",
    }
    book.settle("a", 0)
    book.settle("a", 0)
    assert book.spent(KEY) == (50_000, 50_000)
    book.reserve([KEY], 1, "c")
    book.close()


def test_all_caps_count_or_none(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    book.reserve([HOUSE], 100, "first")
    for number in range(50):
        with pytest.raises(QuotaExceeded):
            book.reserve([KEY, HOUSE], 900_000, f"r{number}")
    book.reserve([KEY], 900_000, "last")
    assert book.spent(KEY) == (900_000, 900_000)
    book.close()


def test_a_cap_of_nothing_lets_nobody_spend(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    nothing = SpendCap(resource="key", id="k", organization_id="o", daily_microusd=0)
    with pytest.raises(QuotaExceeded):
        book.reserve([nothing], 1, "r")
    book.close()


def test_days_and_months_begin_anew_and_late_bills_go_where_they_were_reserved(tmp_path: Path) -> None:
    calendar = Calendar()
    book = SpendBook(tmp_path, now=calendar)
    cap = SpendCap(
        resource="namespace", id="ns_1", organization_id="o", daily_microusd=100, monthly_microusd=150
    )
    book.reserve([cap], 100, "late")
    with pytest.raises(QuotaExceeded):
        book.reserve([cap], 1, "x")
    calendar.now = datetime(2026, 2, 1, 0, 0, 1, tzinfo=UTC)
    book.reserve([cap], 100, "one")
    book.settle("late", 0)
    with pytest.raises(QuotaExceeded):
        book.reserve([cap], 1, "x")
    calendar.now = datetime(2026, 2, 2, tzinfo=UTC)
    book.reserve([cap], 60, "two")
    calendar.now = datetime(2026, 2, 3, tzinfo=UTC)
    with pytest.raises(QuotaExceeded) as caught:
        book.reserve([cap], 1, "x")
    assert caught.value.details is not None
    assert caught.value.details["resource"] == "namespace_monthly_usd"
    assert caught.value.details["resets_at"] == "2026-03-01T00:00:00Z"
    book.close()


def test_a_clock_that_is_set_back_over_midnight_gives_no_second_day(tmp_path: Path) -> None:
    calendar = Calendar()
    calendar.now = datetime(2026, 3, 1, 0, 10, tzinfo=UTC)
    book = SpendBook(tmp_path, now=calendar)
    both = SpendCap(resource="key", id="k", organization_id="o", daily_microusd=100, monthly_microusd=100)
    book.reserve([both], 100, "a")
    calendar.now -= timedelta(hours=1)
    with pytest.raises(QuotaExceeded):
        book.reserve([both], 1, "b")
    book.close()


def test_a_restart_does_not_forget_what_was_spent(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    book.reserve([KEY], 5, "a")
    book.settle("a", 1_000_000)
    book.close()
    again = SpendBook(tmp_path)
    with pytest.raises(QuotaExceeded):
        again.reserve([KEY], 1, "b")
    again.close()


def test_nobody_spends_while_it_cannot_be_counted(tmp_path: Path) -> None:
    book, other = SpendBook(tmp_path), SpendBook(tmp_path)
    assert other._lock.acquire()
    with pytest.raises(StoreUnavailable) as caught:
        book.reserve([KEY], 1, "a")
    assert caught.value.code == "spend_unavailable"
    other._lock.release()
    book.reserve([KEY], 1, "a")
    book.close()
    other.close()


async def test_a_book_that_is_gone_is_written_anew_from_the_ledger(tmp_path: Path) -> None:
    rows = Rows()
    rows.sums = (999_999, 5_000_000)
    book = SpendBook(tmp_path)
    spend = LocalSpend(book, rows)
    await spend.reserve((KEY,), 10, "a")
    with pytest.raises(QuotaExceeded):
        await spend.reserve((KEY,), 10, "b")
    assert rows.asked == 1
    assert book.spent(KEY) == (1_000_009, 5_000_010)
    book.close()


async def test_without_the_ledger_only_those_spend_whose_sums_are_here(tmp_path: Path) -> None:
    rows = Rows()
    rows.is_away = True
    spend = LocalSpend(SpendBook(tmp_path), rows)
    with pytest.raises(StoreUnavailable):
        await spend.reserve((KEY,), 10, "a")
    rows.is_away = False
    await spend.reserve((KEY,), 10, "a")
    rows.is_away = True
    again = LocalSpend(SpendBook(tmp_path), rows)
    asked = rows.asked
    for number in range(5):
        await again.reserve((KEY,), 10, f"b{number}")
    assert rows.asked == asked + 1, "a ledger that is away holds nobody up"
    with pytest.raises(StoreUnavailable):
        await again.reserve((HOUSE,), 10, "c")


async def test_what_a_killed_process_reserved_is_settled_once_its_rows_tell(tmp_path: Path) -> None:
    calendar, rows = Calendar(), Rows()
    calendar.now = datetime(2026, 1, 10, 12, tzinfo=UTC)
    book = SpendBook(tmp_path, now=calendar)
    spend = LocalSpend(book, rows, now=calendar)
    keeper = SpendKeeper(spend, rows, lease_s=60)
    for record_id in ("settled", "unknown", "not there yet", "young"):
        calendar.now += timedelta(seconds=20 if record_id == "young" else 0)
        await spend.reserve((KEY,), 100, record_id)
    rows.costs = {"settled": 7, "unknown": None}
    rows.sums = (7, 7)
    calendar.now += timedelta(seconds=50)
    await keeper.check()
    assert book.spent(KEY) == (307, 307)
    calendar.now += timedelta(seconds=50)
    rows.costs |= {"not there yet": 3, "young": 2}
    await keeper.check()
    assert book.spent(KEY) == (112, 112)
    rows.sums = (500, 900)
    await keeper.check()
    assert book.spent(KEY) == (500, 900)
    book.close()


def test_more_caps_than_there_are_places_are_refused_rather_than_forgotten(tmp_path: Path) -> None:
    book = SpendBook(tmp_path, places=4, holds=4_096)
    caps = [
        SpendCap(resource="key", id=f"key_{number}", organization_id="o", daily_microusd=10)
        for number in range(200)
    ]
    counted = 0
    for cap in caps:
        try:
            book.reserve([cap], 10, cap.id)
            counted += 1
        except StoreUnavailable:
            continue
    assert 64 <= counted < 200
    for cap in caps[:60]:
        with pytest.raises((QuotaExceeded, StoreUnavailable)):
            book.reserve([cap], 1, f"again {cap.id}")
    book.close()


_RUSH = """
import pathlib, sys
from inferway.errors import QuotaExceeded
from inferway.limits.book import SpendBook
from inferway.types import SpendCap
book = SpendBook(pathlib.Path(sys.argv[1]))
cap = SpendCap(resource="key", id="key_1", organization_id="o", daily_microusd=1_000_000, monthly_microusd=1_000_000)
print("ready", flush=True)
sys.stdin.readline()
let_in = 0
for number in range(500):
    try:
        book.reserve([cap], 7_000, f"{sys.argv[2]}-{number}")
        let_in += 1
    except QuotaExceeded:
        pass
print(let_in)
"""


def test_a_burst_of_processes_at_99_percent_of_a_cap_passes_it_by_one_reservation(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    cap = SpendCap(
        resource="key", id="key_1", organization_id="o", daily_microusd=1_000_000, monthly_microusd=1_000_000
    )
    book.reserve([cap], 990_000, "before")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RUSH, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("\n", timeout=60)[0] for process in processes]
    assert sum(map(int, said)) == 2, (
        "990,000 and 7,000 is below the cap: one more passes it, the next is refused"
    )
    assert book.spent(cap) == (1_004_000, 1_004_000)
    book.close()
