"""How late an event loop was, counted in fixed steps."""

from bisect import bisect_left

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""The upper ends of the steps, in seconds; one more step holds what is longer."""


class Lags:
    """A histogram in memory. `counts` has one number for each of `BOUNDS_S` and one for the rest; `total_s` is the sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0
        self.last_s = 0.0

    def add(self, lag_s: float) -> None:
        """Counts one look at the loop."""
        self.counts[bisect_left(BOUNDS_S, lag_s)] += 1
        self.total_s += lag_s
        self.last_s = lag_s

    def quantile_s(self, share: float) -> float:
        """The end of the step below which this share of all looks lies; infinite in the last step, 0 before any."""
        wanted = share * sum(self.counts)
        seen = 0
        for bound_s, count in zip(BOUNDS_S, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return bound_s if wanted else 0.0
        return float("inf")
