"""What is tried again and what is left alone, put together from the settings."""

from collections.abc import Iterable
from typing import Literal

from inferway.pipeline.attempts import Attempts, RetryPolicy
from inferway.resilience.budget import RetryRules
from inferway.resilience.circuits import BreakerRules, Circuits, CircuitState
from inferway.resilience.lines import Lines
from inferway.settings import CallSettings, Settings

_OUTAGE_WAIT_S = 10.0
_WORSE = ("closed", "half_open", "open")

BreakerState = Literal["closed", "half_open", "open"]


def open_circuits(settings: Settings) -> Circuits:
    """The circuits of this machine; raises `OperatorError` when the data folder cannot be used."""
    calls = settings.calls
    rules = BreakerRules(
        failures=calls.breaker_failures, open_s=calls.breaker_open_s, longest_s=calls.breaker_longest_s
    )
    return Circuits.open(settings.data_dir / "circuits", rules)


def make_lines(calls: CallSettings, circuits: Circuits) -> Lines:
    """The lines of this process to its providers."""
    retries = RetryRules(share=calls.retry_share, least=calls.retries_least)
    return Lines(circuits, retries, hedge_share=calls.hedge_share)


def make_attempts(calls: CallSettings, lines: Lines) -> Attempts:
    """How calls are tried."""
    policy = RetryPolicy(
        attempts=calls.attempts,
        hedge_after_ms=calls.hedge_after_ms,
        outage_wait_s=min(_OUTAGE_WAIT_S, calls.timeout_s * 0.9),
    )
    return Attempts(policy, lines)


def breakers(lines: Lines) -> Iterable[tuple[str, str, BreakerState]]:
    """Provider, whose credential, and `closed`, `half_open` or `open`: the worst where callers have several of their own."""
    worst: dict[tuple[str, str], BreakerState] = {}
    for each in lines.states():
        state: BreakerState = "closed" if each.state == "failing" else each.state
        known = worst.setdefault((each.provider, each.credential), state)
        worst[each.provider, each.credential] = max(known, state, key=_WORSE.index)
    return ((provider, credential, state) for (provider, credential), state in worst.items())


def failing_circuits(settings: Settings) -> tuple[CircuitState, ...]:
    """Which providers the processes of this machine do not call now, or call on trial alone.

    Raises `OperatorError` when the data folder cannot be used.
    """
    circuits = open_circuits(settings)
    try:
        return tuple(each for each in circuits.states() if each.trips)
    finally:
        circuits.close()


def left_alone(lines: Lines) -> frozenset[str]:
    """The providers whose circuit under the operator's credential is open."""
    return frozenset(
        each.provider for each in lines.states() if each.state == "open" and each.credential == "operator"
    )
