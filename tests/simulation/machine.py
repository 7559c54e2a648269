"""Callers, providers and stores in every order that a machine can think of, on simulated time."""

from typing import Any

from hypothesis import note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.faults.figures import note as say
from tests.simulation.providers import HOSTS, WEATHERS, Weather
from tests.simulation.world import World


class Gateway(RuleBasedStateMachine):
    """Each step is something that happens; after each, everything that must be true is looked at."""

    world: World
    steps = calls = 0

    @initialize(chance=st.integers(0, 2**32))
    def begin(self, chance: int) -> None:
        note(f"seed of the providers' faults: {chance}")
        self.world = World(chance)

    @rule(
        organization=st.integers(0, 1),
        count=st.integers(1, 3),
        timeout_s=st.sampled_from([0.05, 1.0, 5.0, 20.0, 120.0]),
        stream=st.booleans(),
        providers=st.sampled_from(["a", "b", "ab", "ba", "aba"]),
        hedge_after_ms=st.sampled_from([None, 50, 2_000]),
    )
    def ask(self, providers: str, hedge_after_ms: int | None, **fields: Any) -> None:
        self.world.start(
            **fields,
            provider=providers[0],
            fallbacks=[{"provider": name, "model": "m"} for name in providers[1:]],
            parameters={"hedge_after_ms": hedge_after_ms},
        )

    @rule(which=st.integers(0, 20))
    def leave(self, which: int) -> None:
        self.world.leave(which)

    @rule(host=st.sampled_from(sorted(HOSTS)), weather=st.sampled_from(WEATHERS))
    def change_weather(self, host: str, weather: Weather) -> None:
        self.world.transport.weather[host] = weather

    @rule(is_full=st.booleans())
    def fill_the_journal(self, is_full: bool) -> None:  # noqa: FBT001 - drawn by name
        self.world.books.is_full = is_full

    @rule(is_away=st.booleans())
    def lose_the_key(self, is_away: bool) -> None:  # noqa: FBT001 - drawn by name
        self.world.keys.is_away = is_away

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.2, 1.0, 7.0, 31.0, 130.0]))
    def wait(self, seconds: float) -> None:
        self.world.loop.advance(seconds)

    @invariant()
    def everything_is_as_it_must_be(self) -> None:
        if hasattr(self, "world"):
            Gateway.steps += 1
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            Gateway.calls += len(self.world.calls)


def simulate(number: int, *, runs: int, steps: int) -> None:
    """So many runs of so many steps, all of them decided by one number; raises what a broken promise raises."""
    say(f"seed {number}")
    run_state_machine_as_test(
        seed(number)(Gateway),
        settings=settings(max_examples=runs, stateful_step_count=steps, deadline=None, database=None),
    )
