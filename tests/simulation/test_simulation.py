"""Callers, providers and stores in every order that a machine can think of, on simulated time."""

import random

import pytest

from tests.faults.figures import SEED
from tests.simulation.machine import simulate
from tests.simulation.providers import HOSTS, WEATHERS
from tests.simulation.world import World


@pytest.mark.timeout(300)
def test_whatever_happens_in_whatever_order_the_promises_hold() -> None:
    simulate(SEED, runs=60, steps=40)


def told(number: int) -> list[tuple[object, ...]]:
    """What a run of one seed records."""
    world, chance = World(number), random.Random(number)
    for count in range(30):
        world.transport.weather[chance.choice(sorted(HOSTS))] = chance.choice(WEATHERS)
        world.start(count % 2, count=2, timeout_s=30.0, stream=bool(count % 3), provider="ab"[count % 2])
        world.loop.advance(chance.uniform(0, 3))
        world.check()
    world.close()
    return [
        (row.record_id, row.status, row.error_code, row.started_at, row.latency_ms, row.attempts)
        for row in world.books.rows
    ]


def test_the_same_seed_is_the_same_run_to_the_microsecond() -> None:
    assert told(7) == told(7)
    assert told(7) != told(8)
