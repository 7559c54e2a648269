"""The table's counters, by a controlled clock."""

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from inferway.limits.bucket import Bucket
from inferway.limits.table import Held, Refused, Table
from inferway.limits.terms import TIERS, Terms, rules_of
from tests.unit.limits.reference import ExactBucket, admits


class Clock:
    """A clock that a test sets, in microseconds; it begins somewhere, as a machine's does."""

    def __init__(self, us: int = 987_654_321_000) -> None:
        self.us = us

    def __call__(self) -> int:
        return self.us


def _reference(terms: Terms) -> list[ExactBucket]:
    minute = ExactBucket(terms.per_minute, min(terms.burst, terms.per_minute), 60)
    return [minute, ExactBucket(terms.per_second, terms.per_second, 1)]


def test_of_a_hundred_thousand_arrivals_none_is_let_in_or_refused_wrongly() -> None:
    dice = random.Random(20_260_701)
    terms = [TIERS["free"], TIERS["pro"], TIERS["enterprise"], Terms(per_minute=7, burst=3, per_second=2)]
    clock = Clock()
    table = Table.in_memory(clock)
    exact = [_reference(each) for each in terms]
    let_in = 0
    for arrival in range(100_000):
        which = dice.randrange(len(terms))
        clock.us += dice.choice([0, 1, dice.randrange(1_000), dice.randrange(30_000), 10_000])
        if arrival % 5_000 == 0:
            clock.us += dice.randrange(90_000_000)
        expected = admits(exact[which], clock.us)
        got = table.enter(f"key_{which}", "org", rules_of(Terms(**_rates(terms[which]))))
        assert isinstance(got, Held) is expected, (arrival, which)
        let_in += expected
    assert 20_000 < let_in < 80_000


def _rates(terms: Terms) -> dict[str, int]:
    return {"per_minute": terms.per_minute, "burst": terms.burst, "per_second": terms.per_second}


@settings(deadline=None)
@given(
    limit=st.integers(1, 5_000),
    burst=st.integers(1, 500),
    waits=st.lists(st.integers(0, 20_000_000), max_size=60),
)
def test_any_limit_agrees_with_exact_fractions(limit: int, burst: int, waits: list[int]) -> None:
    clock = Clock()
    table = Table.in_memory(clock, keys=4, organizations=4)
    rules = rules_of(Terms(per_minute=limit, burst=burst))
    exact = [ExactBucket(limit, min(limit, burst), 60)]
    for wait_us in waits:
        clock.us += wait_us
        assert isinstance(table.enter("k", "o", rules), Held) is admits(exact, clock.us)


@settings(deadline=None)
@given(
    limit=st.integers(1, 5_000), burst=st.integers(1, 50), waits=st.lists(st.integers(0, 99_999), max_size=80)
)
def test_the_wait_that_is_named_is_exact(limit: int, burst: int, waits: list[int]) -> None:
    clock = Clock()
    table = Table.in_memory(clock, keys=4, organizations=4)
    rules = rules_of(Terms(per_minute=limit, burst=burst))
    for wait_us in waits:
        clock.us += wait_us
        refused = table.enter("k", "o", rules)
        if isinstance(refused, Refused):
            clock.us += refused.wait_us - 1
            assert isinstance(table.enter("k", "o", rules), Refused)
            clock.us += 1
            assert isinstance(table.enter("k", "o", rules), Held)


def test_a_refused_call_takes_nothing_from_any_limit() -> None:
    clock = Clock()
    table = Table.in_memory(clock)
    rules = rules_of(Terms(per_minute=100, burst=10, concurrent=1))
    assert isinstance(table.enter("k", "o", rules), Held)
    for _ in range(50):
        assert isinstance(table.enter("k", "o", rules), Refused)
    room = table.room("k", rules)
    assert room is not None
    assert room.remaining == 9


def test_calls_at_once_are_counted_for_the_organization_and_given_back() -> None:
    table = Table.in_memory(Clock())
    rules = rules_of(Terms(concurrent=2))
    first = table.enter("key_a", "org_1", rules)
    assert isinstance(first, Held)
    assert isinstance(table.enter("key_b", "org_1", rules), Held)
    assert table.enter("key_c", "org_1", rules) == Refused(
        limit=2, window_s=0, wait_us=1_000_000, full_us=1_000_000
    )
    assert isinstance(table.enter("key_a", "org_2", rules), Held)
    table.leave(first.cell)
    assert isinstance(table.enter("key_c", "org_1", rules), Held)


def test_more_keys_than_there_is_memory_for_forget_the_idle_ones_only() -> None:
    clock = Clock()
    table = Table.in_memory(clock, keys=64)
    rules = rules_of(Terms(per_minute=1))
    assert isinstance(table.enter("busy", "o", rules), Held)
    for number in range(5_000):
        clock.us += 30_000
        if number % 100 == 99:
            table.enter("busy", "o", rules)
        else:
            table.enter(f"key_{number}", "o", rules)
        if number > 4_000:
            clock.us += 120_000_001
            assert isinstance(table.enter(f"late_{number}", "o", rules), Held)
    assert len(table._memory) < 200_000


def test_what_the_machine_s_last_run_has_left_shuts_nobody_out() -> None:
    clock = Clock(9_000_000_000_000)
    table = Table.in_memory(clock)
    rules = rules_of(Terms(per_minute=5))
    for _ in range(6):
        table.enter("k", "o", rules)
    clock.us = 1_000_000
    assert sum(isinstance(table.enter("k", "o", rules), Held) for _ in range(9)) == 5
    clock.us += 12_000_000
    assert isinstance(table.enter("k", "o", rules), Held)


def test_tokens_are_reserved_and_corrected() -> None:
    clock = Clock()
    table = Table.in_memory(clock)
    bucket = Bucket(limit=1_000, capacity=1_000, window_s=60)
    assert table.take_tokens("k", bucket, 900) is None
    refused = table.take_tokens("k", bucket, 200)
    assert refused is not None
    assert refused.wait_us == 6_000_000
    table.correct_tokens("k", bucket, 100 - 900)
    assert table.take_tokens("k", bucket, 900) is None
    clock.us += 60_000_000
    assert table.take_tokens("k", bucket, 5_000) is None, "more than the bucket holds waits for a full one"
    assert table.take_tokens("k", bucket, 1) is not None
    clock.us += 120_000_000
    assert table.take_tokens("k", bucket, 1_000) is None


def test_two_tables_of_one_folder_are_one(tmp_path: Path) -> None:
    one, other = Table.open(tmp_path), Table.open(tmp_path)
    rules = rules_of(Terms(per_minute=10, concurrent=10))
    held = [table.enter("k", "o", rules) for table in (one, other) * 5]
    assert all(isinstance(each, Held) for each in held)
    assert isinstance(one.enter("k", "o", rules), Refused)
    assert isinstance(other.enter("k2", "o", rules), Refused)
    other.close()
    assert isinstance(one.enter("k2", "o", rules), Held), "what a process that left had running is over"
    one.close()
