"""What a call pays for circuits and budgets: `python -m bench.circuits`."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from inferway.resilience.circuits import BreakerRules, Circuits
from inferway.resilience.lines import Lines

_CALLS = 20_000
_ROUNDS = 9
_SECRET = "sk-0123456789abcdef0123456789abcdef"


def main() -> None:
    """Prints the median of the rounds, in microseconds of wall for each call."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Lines(Circuits.open(Path(folder), BreakerRules(failures=1_000_000)))

        def well() -> None:
            line = lines.get("openai", "https://api.example", _SECRET, is_callers=False)
            line.budget.active += 1
            circuit = line.circuit
            if circuit is not None and circuit.cells[circuit.mark]:
                raise AssertionError
            if circuit is not None and circuit.cells[circuit.mark]:
                raise AssertionError
            line.budget.active -= 1

        def failing() -> None:
            line = lines.get("openai", "https://api.example", _SECRET, is_callers=False)
            if line.circuit is not None:
                line.circuit.enter(10)
                line.circuit.failed()

        _say("a closed circuit, asked and told, and the budget's count", well)
        _say("a failure: asked under the lock, told under the lock", failing)


def _say(what: str, work: Callable[[], None]) -> None:
    rounds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(_CALLS):
            work()
        rounds.append((time.perf_counter() - began) / _CALLS * 1_000_000)
    print(f"{what}: {statistics.median(rounds):.2f} µs")


if __name__ == "__main__":
    main()
