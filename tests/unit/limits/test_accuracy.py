"""Many simulated arrivals against tokens, calls at once and money, each beside a count that is plain to see."""

import random
from collections import deque
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from inferway.errors import QuotaExceeded
from inferway.limits.book import SpendBook
from inferway.limits.bucket import Bucket
from inferway.limits.table import Held, Table
from inferway.limits.terms import Terms, rules_of
from inferway.types import SpendCap

_ARRIVALS = 25_000


class Clock:
    def __init__(self) -> None:
        self.us = 987_654_321_000

    def __call__(self) -> int:
        return self.us


def test_tokens_are_let_in_exactly_as_they_drip(tmp_path: Path) -> None:
    del tmp_path
    dice, clock = random.Random(7), Clock()
    table, bucket = Table.in_memory(clock), Bucket(limit=90_000, capacity=90_000, window_s=60)
    debt, at_us, let_in = Fraction(0), clock.us, 0
    for arrival in range(_ARRIVALS):
        clock.us += dice.choice([0, 1, dice.randrange(4_000_000)])
        debt, at_us = max(Fraction(0), debt - Fraction(clock.us - at_us, 60_000_000) * 90_000), clock.us
        asked = dice.randrange(1, 9_000)
        expected = debt + asked <= 90_000
        assert (table.take_tokens("k", bucket, asked) is None) is expected, arrival
        if expected:
            let_in += 1
            used = dice.randrange(asked + 1)
            table.correct_tokens("k", bucket, used - asked)
            debt += used
    assert _ARRIVALS / 10 < let_in < _ARRIVALS


def test_calls_at_once_are_never_more_and_never_fewer_than_allowed() -> None:
    dice, table = random.Random(8), Table.in_memory(Clock())
    rules = rules_of(Terms(concurrent=20))
    running: deque[int | None] = deque()
    refused = 0
    for arrival in range(_ARRIVALS):
        if running and dice.random() < 0.5:
            running.rotate(dice.randrange(5))
            table.leave(running.popleft())
        held = table.enter(f"key_{arrival % 9}", "org", rules)
        assert isinstance(held, Held) is (len(running) < 20), arrival
        if isinstance(held, Held):
            running.append(held.cell)
        else:
            refused += 1
    assert refused > _ARRIVALS / 10


def test_money_is_let_in_exactly_while_less_than_the_cap_is_spent(tmp_path: Path) -> None:
    dice = random.Random(9)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    book = SpendBook(tmp_path, now=lambda: now)
    cap = SpendCap(
        resource="key", id="k", organization_id="o", daily_microusd=1_000_000, monthly_microusd=9_000_000
    )
    by_day: dict[object, int] = {}
    by_month: dict[object, int] = {}
    open_calls: deque[tuple[str, int, object, object]] = deque()
    passed = refused = 0
    for arrival in range(_ARRIVALS):
        now += timedelta(seconds=dice.randrange(240))
        day, month = now.date(), (now.year, now.month)
        if open_calls and dice.random() < 0.55:
            record_id, reserved, of_day, of_month = open_calls.popleft()
            cost = dice.choice([0, dice.randrange(reserved), reserved])
            book.settle(record_id, cost)
            by_day[of_day] += cost - reserved
            by_month[of_month] += cost - reserved
        asked = dice.randrange(1, 40_000)
        expected = by_day.get(day, 0) < 1_000_000 and by_month.get(month, 0) < 9_000_000
        try:
            book.reserve([cap], asked, f"r{arrival}")
        except QuotaExceeded:
            refused += 1
            assert not expected, arrival
            continue
        assert expected, arrival
        by_day[day] = by_day.get(day, 0) + asked
        by_month[month] = by_month.get(month, 0) + asked
        passed += by_day[day] > 1_000_000 + asked
        open_calls.append((f"r{arrival}", asked, day, month))
    assert not passed
    assert refused > _ARRIVALS / 20
    book.close()
