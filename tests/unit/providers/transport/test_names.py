"""Looking up hosts: once at a time, failures remembered, addresses as they are."""

import asyncio
import socket
from typing import Any

import pytest

from inferway.providers.transport.names import FAILURE_S, Names


class Resolver:
    """A loop's look-ups: counts them and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.outcome: Any = [
            (socket.AF_INET, 1, 6, "", ("192.0.2.7", 0)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.7", 0)),
        ]

    async def getaddrinfo(self, host: str, port: None, **_: Any) -> Any:
        assert port is None
        self.asked.append(host)
        await self.gate.wait()
        if isinstance(self.outcome, OSError):
            raise self.outcome
        return self.outcome

    def create_task(self, job: Any) -> Any:
        return asyncio.get_running_loop().create_task(job)


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
async def resolver() -> Resolver:
    return Resolver()


def names(resolver: Resolver, now: list[float]) -> Names:
    return Names(resolver, clock=lambda: now[0])  # type: ignore[arg-type]


async def test_calls_at_the_same_time_share_one_look_up(resolver: Resolver, now: list[float]) -> None:
    found = names(resolver, now)
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
    found = names(resolver, now)
    hasty = asyncio.create_task(found.addresses("a.example"))
    patient = asyncio.create_task(found.addresses("a.example"))
    await asyncio.sleep(0)
    hasty.cancel()
    resolver.gate.set()
    assert await patient == ("192.0.2.7",)
    assert len(resolver.asked) == 1


async def test_a_failure_is_remembered_for_five_seconds_at_most(resolver: Resolver, now: list[float]) -> None:
    found = names(resolver, now)
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


async def test_an_address_is_not_looked_up(resolver: Resolver, now: list[float]) -> None:
    found = names(resolver, now)
    assert await found.addresses("192.0.2.1") == ("192.0.2.1",)
    assert await found.addresses("2001:db8::1") == ("2001:db8::1",)
    assert resolver.asked == []
