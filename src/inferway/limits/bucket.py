"""The arithmetic of a token bucket, in whole numbers: nothing is rounded in anybody's favour."""

_US = 1_000_000


class Bucket:
    """Holds `capacity` units and is refilled with `limit` of them every `window_s` seconds; both are at least 1.

    Its state is what is owed to it, in units times microseconds of the window, and the moment (µs) of which that is true. So an hour has
    no remainder, a bucket of zeros is full, and one that nobody touched for a window is full again. `unit` is what one unit weighs in the
    state, and a debt of `brim` leaves room for exactly one.
    """

    __slots__ = ("brim", "capacity", "limit", "unit", "window_s")

    def __init__(self, *, limit: int, capacity: int, window_s: int) -> None:
        self.limit = limit
        self.capacity = capacity
        self.window_s = window_s
        self.unit = window_s * _US
        self.brim = (capacity - 1) * self.unit

    def owed(self, debt: int, at_us: int, now_us: int) -> int:
        """The debt now. A moment well in the future is from before the clock began anew, and its debt with it."""
        elapsed_us = now_us - at_us
        if elapsed_us > 0:
            debt -= elapsed_us * self.limit
        elif elapsed_us < -_US:
            return 0
        return debt if debt > 0 else 0  # noqa: FURB136 - `max` takes longer than the rest

    def room(self, owed: int) -> int:
        """How many whole units could be taken at once."""
        units = (self.brim - owed) // self.unit + 1
        return units if units > 0 else 0  # noqa: FURB136 - as above

    def wait_us(self, owed: int, units: int) -> int:
        """Microseconds until `units` can be taken; 0 when they can be now."""
        short = owed + (units - self.capacity) * self.unit
        return max(0, -(-short // self.limit))

    def full_us(self, owed: int) -> int:
        """Microseconds until the bucket is full."""
        return -(-owed // self.limit)
