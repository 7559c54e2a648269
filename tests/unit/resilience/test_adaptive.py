"""The valve: open in quiet times, closed as far as needed when calls wait for this process, and open again."""

from collections.abc import Callable

import pytest

from inferway.resilience.adaptive import BUSY_BEAT_S, CALM_BEAT_S, Pressure, Valve


class Worker:
    """A loop that is late by what the test says; a call costs it a millisecond."""

    cost_s = 0.001

    def __init__(self, is_full: Callable[[], bool] = lambda: False) -> None:
        self.valve = Valve(calls_max=10, is_full=is_full, cpu=lambda: self.cost_s * self.answered)
        self.now = 100.0
        self.answered = 0
        self.pause_s = self.valve.beat(self.now, 0)

    def step(self, lag_s: float, *, calls: int = 0, waiting: float = 0.0) -> None:
        """One look, late by so much, after so many calls."""
        self.now += self.pause_s + lag_s
        self.answered += calls
        self.pause_s = self.valve.beat(self.now, self.answered, waiting)


def _valve(is_full: Callable[[], bool] = lambda: False) -> tuple[Valve, Worker]:
    worker = Worker(is_full)
    return worker.valve, worker


def _overload(worker: Worker) -> None:
    for _ in range(20):
        worker.step(0.3, calls=300)


def test_a_quiet_worker_lets_everything_in() -> None:
    valve, worker = _valve()
    for _ in range(100):
        worker.step(0.001, calls=10)
    assert (valve.is_limiting, valve.state, valve.refused) == (False, "open", 0)
    assert all(valve.admit() for _ in range(1000))


def test_slow_providers_are_no_overload() -> None:
    # Nothing is answered for minutes, and the loop is on time: thousands of calls may wait for a provider.
    valve, worker = _valve()
    for _ in range(5000):
        worker.step(0.0)
    assert not valve.is_limiting


def test_a_loop_that_is_late_again_and_again_is_overloaded() -> None:
    valve, worker = _valve()
    _overload(worker)
    assert (valve.is_limiting, valve.state) == (True, "overloaded")


def test_one_long_step_is_no_overload() -> None:
    valve, worker = _valve()
    worker.step(5.0)
    worker.step(0.001)
    assert not valve.is_limiting


def test_a_burst_that_goes_down_is_no_overload() -> None:
    valve, worker = _valve()
    for lag_s in (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0.0):
        worker.step(lag_s, calls=300)
        assert not valve.is_limiting


def test_connections_that_wait_to_be_accepted_count_by_what_calls_cost() -> None:
    valve, worker = _valve()
    for _ in range(20):
        worker.step(0.005, calls=40, waiting=1000)
    assert valve.is_limiting
    calm, worker = _valve()
    for _ in range(20):
        worker.step(0.005, calls=40, waiting=50)
    assert not calm.is_limiting


@pytest.mark.parametrize(("lag_s", "most"), [(0.0, 2.2), (0.05, 1.2), (0.08, 0.6)])
def test_an_overloaded_worker_lets_in_as_much_as_it_does_until_the_next_look(
    lag_s: float, most: float
) -> None:
    # A little more while it is not late, so that there is always something to do; less when it is late, so that the queue stays short.
    valve, worker = _valve()
    worker.cost_s = 0.0002
    _overload(worker)
    worker.step(lag_s, calls=100)
    admitted = sum(valve.admit() for _ in range(1000))
    portion = BUSY_BEAT_S / worker.cost_s
    assert 0.5 * most * portion <= admitted <= most * portion
    assert valve.refused == 1000 - admitted


def test_a_short_queue_is_never_refused() -> None:
    valve, worker = _valve()
    _overload(worker)
    worker.step(2.0)
    assert sum(valve.admit() for _ in range(100)) == Pressure().least


def test_it_opens_again_when_nothing_has_to_be_refused() -> None:
    valve, worker = _valve()
    _overload(worker)
    while valve.admit():
        pass
    for _ in range(50):
        worker.step(0.0, calls=1)
        assert valve.admit()
    assert valve.is_limiting, "too early"
    for _ in range(200):
        worker.step(0.0, calls=1)
    assert not valve.is_limiting


def test_without_memory_nothing_is_let_in_until_there_is_some_again() -> None:
    full = [True]
    valve, worker = _valve(is_full=lambda: full[0])
    worker.step(0.0)
    assert (valve.state, valve.admit()) == ("memory", False)
    full[0] = False
    for _ in range(100):
        worker.step(0.0)
    assert (valve.state, valve.admit()) == ("open", True)


def test_it_is_looked_at_more_often_while_it_limits() -> None:
    _, worker = _valve()
    assert worker.pause_s == CALM_BEAT_S
    _overload(worker)
    assert worker.pause_s == BUSY_BEAT_S


def test_lags_are_counted() -> None:
    valve, worker = _valve()
    for _ in range(99):
        worker.step(0.004)
    worker.step(0.2)
    assert valve.lags.quantile_s(0.5) == 0.005
    assert valve.lags.quantile_s(1.0) == 0.25
    assert abs(valve.lags.last_s - 0.2) < 1e-6
