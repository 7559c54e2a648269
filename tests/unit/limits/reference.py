"""A token bucket in exact fractions, written without looking at the product's arithmetic."""

from fractions import Fraction


class ExactBucket:
    """Counts tokens that drip in continuously, at `limit` in `window_s`, up to `capacity`."""

    def __init__(self, limit: int, capacity: int, window_s: int) -> None:
        self.rate = Fraction(limit, window_s * 1_000_000)
        self.capacity = Fraction(capacity)
        self.tokens = Fraction(capacity)
        self.at_us: int | None = None

    def drip(self, now_us: int) -> None:
        if self.at_us is not None:
            self.tokens = min(self.capacity, self.tokens + (now_us - self.at_us) * self.rate)
        self.at_us = now_us


def admits(buckets: list[ExactBucket], now_us: int) -> bool:
    """Takes a token from every bucket, or from none."""
    for bucket in buckets:
        bucket.drip(now_us)
    if any(bucket.tokens < 1 for bucket in buckets):
        return False
    for bucket in buckets:
        bucket.tokens -= 1
    return True
