"""How long a refusal takes tells nothing about how near a guess is."""

import math
import random
import time

from inferway.access.keys import with_checksum
from inferway.errors import Unauthorized
from tests.unit.access.test_gate import House

_SAMPLES = 20_000
"""Of each class, in turns."""
_LEAST_EFFECT = 0.02
"""Of two guesses the nearer one takes longer in 50 % of all cases; this much more or less would be a leak."""
_ROUNDS = 3
"""The middle one of so many rounds counts: a leak shows in all of them, a busy moment of the machine in one."""


def mann_whitney(one: list[int], other: list[int]) -> tuple[float, float]:
    """How often a value of `one` is larger than one of `other` (0.5 when neither is), and the z-score of that.

    Ranks with ties at their mean, the normal approximation with the correction for ties.
    """
    pooled = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    rank_sum, ties, at = 0.0, 0, 0
    while at < len(pooled):
        end = at
        while end < len(pooled) and pooled[end][0] == pooled[at][0]:
            end += 1
        size = end - at
        mean_rank = (at + 1 + end) / 2
        rank_sum += mean_rank * sum(1 for _, which in pooled[at:end] if which == 0)
        ties += size**3 - size
        at = end
    n, m = len(one), len(other)
    larger = rank_sum - n * (n + 1) / 2
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    return larger / (n * m), (larger - n * m / 2) / math.sqrt(variance)


async def _refuse(house: House, guess: str) -> int:
    """Nanoseconds until a guess is refused."""
    began = time.perf_counter_ns()
    try:
        await house.enter(guess)
    except Unauthorized:
        return time.perf_counter_ns() - began
    raise AssertionError("a guess got in")


async def test_a_guess_that_is_nearly_right_takes_as_long_as_any_other() -> None:
    # What is near in one house is far in the other: a guess's own characters, and where a house lies in memory, count on both sides.
    houses = [House(), House()]
    keys = [(await house.open())[1] for house in houses]
    chance = random.Random(7)
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    tried = set(keys)

    def guess_at(key: str) -> str:
        while (guess := with_checksum(key[:29] + "".join(chance.choices(digits, k=4)))) in tried:
            pass
        tried.add(guess)
        return guess

    async def measure() -> tuple[float, float]:
        near: list[int] = []
        far: list[int] = []
        for _ in range(_SAMPLES // 2):
            for at, like in chance.sample(((0, 0), (0, 1), (1, 0), (1, 1)), 4):
                (near if at == like else far).append(await _refuse(houses[at], guess_at(keys[like])))
        return mann_whitney(near, far)

    rounds = [await measure() for _ in range(_ROUNDS)]
    share, score = sorted(rounds)[_ROUNDS // 2]
    assert abs(share - 0.5) < _LEAST_EFFECT or abs(score) < 4, rounds


async def test_the_measurement_finds_a_comparison_that_stops_at_the_first_difference() -> None:
    right = "sk_" + "a" * 36

    def compare(key: str) -> int:
        began = time.perf_counter_ns()
        for mine, theirs in zip(right, key, strict=True):
            if mine != theirs:
                break
        return time.perf_counter_ns() - began

    near, far = "sk_" + "a" * 30 + "b" * 6, "sk_" + "b" * 36
    pairs = [(compare(near), compare(far)) for _ in range(2_000)]
    share, score = mann_whitney([one for one, _ in pairs], [other for _, other in pairs])
    assert share > 0.5 + 5 * _LEAST_EFFECT
    assert score > 10


def test_equal_times_are_found_equal() -> None:
    chance = random.Random(7)
    one, other = ([chance.randrange(50) for _ in range(5_000)] for _ in range(2))
    share, score = mann_whitney(one, other)
    assert abs(share - 0.5) < _LEAST_EFFECT
    assert abs(score) < 4
    assert mann_whitney([1, 2], [3, 4])[0] == 0.0
    assert mann_whitney([3, 4], [1, 2])[0] == 1.0
