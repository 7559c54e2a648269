"""Looking up hosts: once at a time, failures remembered, addresses as they are."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from inferway.providers.transport.names import FAILURE_S, Names


class Resolver:
    """The system's look-ups: counts them and answers when it is told to. Names that begin with `silent` are never answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.end = threading.Event()
        self.outcome: Any = [
            (socket.AF_INET, 1, 6, "", ("192.0.2.7", 0)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.7", 0)),
        ]

    def getaddrinfo(self, host: str, port: None, **_: Any) -> Any:
        assert port is None
        self.asked.append(host)
        (self.end if host.startswith("silent") else self.gate).wait(30)
        if isinstance(self.outcome, OSError):
            raise self.outcome
        return self.outcome


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.gate.set()
    resolver.end.set()


def names(now: list[float]) -> Names:
    return Names(asyncio.get_running_loop(), clock=lambda: now[0])


async def test_calls_at_the_same_time_share_one_look_up(resolver: Resolver, now: list[float]) -> None:
    found = names(now)
    waiting = [asyncio.create_task(found.addresses("a.example")) for _ in range(20)]
    await asyncio.sleep(0)
    resolver.gate.set()
    assert set(await asyncio.gather(*waiting)) == {("192.0.2.7",)}
    assert resolver.asked == ["a.example"]
    await found.addresses("a.example")
    assert len(resolver.asked) == 2


async def test_a_caller_that_gives_up_leaves_the_look_up_to_others(
    resolver: Resolver, now: list[float]
) -> None:
    found = names(now)
    hasty = asyncio.create_task(found.addresses("a.example"))
    patient = asyncio.create_task(found.addresses("a.example"))
    await asyncio.sleep(0)
    hasty.cancel()
    resolver.gate.set()
    assert await patient == ("192.0.2.7",)
    assert len(resolver.asked) == 1


async def test_a_failure_is_remembered_for_five_seconds_at_most(resolver: Resolver, now: list[float]) -> None:
    found = names(now)
    resolver.gate.set()
    resolver.outcome = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    for _ in range(10):
        with pytest.raises(OSError, match="not known"):
            await found.addresses("gone.example")
    assert len(resolver.asked) == 1
    assert FAILURE_S <= 5
    now[0] += FAILURE_S
    resolver.outcome = [(socket.AF_INET, 1, 6, "", ("192.0.2.8", 0))]
    assert await found.addresses("gone.example") == ("192.0.2.8",)


async def test_names_that_nobody_answers_hold_up_neither_others_nor_other_work(
    resolver: Resolver, now: list[float]
) -> None:
    found = names(now)
    resolver.gate.set()
    silent = [asyncio.create_task(found.addresses(f"silent-{number}.example")) for number in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        assert await found.addresses("a.example") == ("192.0.2.7",)
        assert await asyncio.to_thread(lambda: "done") == "done"
    found.close()
    await asyncio.gather(*silent, return_exceptions=True)


_HASTY = """
import asyncio, contextlib, socket, time
from inferway.providers.transport.names import Names

socket.getaddrinfo = lambda *_, **__: time.sleep(60)

async def main():
    names = Names(asyncio.get_running_loop())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await names.addresses("silent.example")
    names.close()

asyncio.run(main())
"""


def test_a_process_ends_while_a_name_server_is_silent() -> None:
    subprocess.run([sys.executable, "-c", _HASTY], timeout=30, check=True)


async def test_a_name_that_cannot_be_one_is_told(now: list[float]) -> None:
    with pytest.raises(UnicodeError):
        await names(now).addresses("a" * 64 + ".example")


async def test_an_address_is_not_looked_up(resolver: Resolver, now: list[float]) -> None:
    found = names(now)
    assert await found.addresses("192.0.2.1") == ("192.0.2.1",)
    assert await found.addresses("2001:db8::1") == ("2001:db8::1",)
    assert resolver.asked == []
