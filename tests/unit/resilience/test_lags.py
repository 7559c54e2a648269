"""The histogram of a loop's lags."""

from math import inf

from inferway.resilience.lags import BOUNDS_S, Lags


def test_each_lag_is_in_the_step_that_ends_with_it() -> None:
    lags = Lags()
    for bound_s in BOUNDS_S:
        lags.add(bound_s)
    lags.add(60.0)
    assert lags.counts == [1] * (len(BOUNDS_S) + 1)
    assert lags.total_s == sum(BOUNDS_S) + 60.0
    assert lags.last_s == 60.0


def test_quantiles_are_ends_of_steps() -> None:
    lags = Lags()
    assert lags.quantile_s(0.99) == 0.0
    for _ in range(99):
        lags.add(0.0)
    lags.add(60.0)
    assert (lags.quantile_s(0.99), lags.quantile_s(1.0)) == (0.001, inf)
