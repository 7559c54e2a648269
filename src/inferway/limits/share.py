"""What one machine does by itself while the machines cannot count together."""

from collections.abc import Callable
from functools import lru_cache

from inferway.limits.bucket import Bucket
from inferway.limits.terms import Rules

FAILURES = 5
PROBE_S = 5.0


class Breaker:
    """Leaves a server in peace that failed `FAILURES` times in a row, but for one try every `PROBE_S` seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._next_at = 0.0

    def allows(self) -> bool:
        """Whether to ask the server now; a try is given to one caller at a time."""
        if self._failures < FAILURES:
            return True
        now = self._clock()
        if now < self._next_at:
            return False
        self._next_at = now + PROBE_S
        return True

    def failed(self) -> bool:
        """Counts a failure; whether it is the one too many."""
        self._failures += 1
        if self._failures < FAILURES:
            return False
        self._next_at = self._clock() + PROBE_S
        return self._failures == FAILURES

    def succeeded(self) -> bool:
        """The server answers; whether it had been given up."""
        was_away = self._failures >= FAILURES
        self._failures = 0
        return was_away

    def abandoned(self) -> None:
        """Nobody waited for the answer: if that was the one try, the next caller may have it."""
        self._next_at = 0.0


@lru_cache(maxsize=1_000)
def shared_rules(rules: Rules, replicas: int) -> Rules:
    """One machine's part of each limit, rounded down; a limit that is set stays one, as 0 would lift it."""
    return Rules(
        minute=_part(rules.minute, replicas),
        second=_part(rules.second, replicas),
        tokens=_part(rules.tokens, replicas),
        concurrent=max(1, rules.concurrent // replicas) if rules.concurrent else 0,
    )


def _part(bucket: Bucket | None, replicas: int) -> Bucket | None:
    if bucket is None:
        return None
    return Bucket(
        limit=max(1, bucket.limit // replicas),
        capacity=max(1, bucket.capacity // replicas),
        window_s=bucket.window_s,
    )
