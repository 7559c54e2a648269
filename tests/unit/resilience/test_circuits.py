"""Circuit breakers: when they open, for how long, and who may look again."""

import subprocess
import sys
from pathlib import Path

import pytest

from inferway.resilience.circuits import BreakerRules, Circuit, Circuits


class Clock:
    """A clock that moves when it is told."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def us(self) -> int:
        return round(self.now_s * 1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits.in_memory(clock_us=clock.us)


def opened(circuits: Circuits, name: str = "a") -> Circuit:
    circuit = circuits.circuit(name, name, is_callers=False)
    for _ in range(5):
        circuit.failed()
    return circuit


def test_the_fifth_failure_in_a_row_opens_it_for_thirty_seconds(circuits: Circuits, clock: Clock) -> None:
    circuit = circuits.circuit("a", "a", is_callers=False)
    assert circuit.cells[circuit.mark] == 0
    for _ in range(4):
        circuit.failed()
        assert circuit.enter(10) == 0
    circuit.failed()
    assert circuit.enter(10) == 30
    clock.now_s += 29.5
    assert circuit.enter(10) == 0.5
    assert circuit.shut_for_s() == 0.5


def test_a_success_in_between_starts_the_count_anew(circuits: Circuits) -> None:
    circuit = circuits.circuit("a", "a", is_callers=False)
    for _ in range(3):
        for _ in range(4):
            circuit.failed()
        circuit.succeeded()
        assert circuit.cells[circuit.mark] == 0


def test_one_probe_goes_out_and_its_success_closes_the_circuit(circuits: Circuits, clock: Clock) -> None:
    circuit = opened(circuits)
    clock.now_s += 30
    assert circuit.shut_for_s() == 0
    assert circuit.enter(10) == -1
    assert [circuit.enter(10) for _ in range(3)] == [1, 1, 1]
    circuit.succeeded(is_probe=True)
    assert circuit.cells[circuit.mark] == 0
    assert circuit.enter(10) == 0


def test_each_failed_probe_keeps_it_open_for_thirty_seconds_more_up_to_three_hundred(
    circuits: Circuits, clock: Clock
) -> None:
    circuit = opened(circuits)
    waits = []
    for _ in range(12):
        waits.append(circuit.enter(10))
        clock.now_s += waits[-1]
        assert circuit.enter(10) == -1
        circuit.failed(is_probe=True)
    assert waits == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_calls_that_went_out_before_it_opened_change_nothing(circuits: Circuits, clock: Clock) -> None:
    circuit = opened(circuits)
    circuit.failed()
    circuit.succeeded()
    assert circuit.enter(10) == 30
    clock.now_s += 30
    assert circuit.enter(10) == -1
    circuit.failed()
    circuit.succeeded()
    assert circuit.enter(10) == 1


def test_a_probe_that_is_abandoned_or_dies_leaves_room_for_another(circuits: Circuits, clock: Clock) -> None:
    circuit = opened(circuits)
    clock.now_s += 30
    assert circuit.enter(10) == -1
    circuit.abandoned()
    assert circuit.enter(10) == -1
    clock.now_s += 9.5
    assert circuit.enter(10) == 0.5
    clock.now_s += 0.5
    assert circuit.enter(10) == -1


def test_what_is_open_since_before_the_clock_began_anew_is_closed(circuits: Circuits, clock: Clock) -> None:
    circuit = opened(circuits)
    clock.now_s = 3.0
    assert circuit.enter(10) == 0
    assert circuit.cells[circuit.mark] == 0


def test_circuits_are_told_apart_and_tell_their_state(circuits: Circuits, clock: Clock) -> None:
    opened(circuits, "a")
    failing = circuits.circuit("b", "b", is_callers=True)
    failing.failed()
    circuits.circuit("c", "c", is_callers=False)
    states = {each.provider: each for each in circuits.states()}
    assert {name: each.state for name, each in states.items()} == {"a": "open", "b": "failing", "c": "closed"}
    assert (states["a"].opens_for_s, states["a"].trips, states["a"].failures) == (30, 1, 5)
    assert {name: each.credential for name, each in states.items()} == {
        "a": "operator",
        "b": "caller",
        "c": "operator",
    }
    clock.now_s += 31
    assert {each.state for each in circuits.states() if each.provider == "a"} == {"half_open"}


def test_a_full_table_forgets_what_is_at_rest_and_never_mistakes_one_for_another(clock: Clock) -> None:
    circuits = Circuits.in_memory(clock_us=clock.us, places=8)
    first = opened(circuits, "first")
    others = [circuits.circuit(f"c{number}", "c", is_callers=True) for number in range(30)]
    assert first.enter(10) == 30
    for other in others:
        assert other.enter(10) == 0
        other.failed()
        other.succeeded()
    assert first.enter(10) == 30


def test_zero_failures_switches_it_off(clock: Clock) -> None:
    circuits = Circuits.in_memory(BreakerRules(failures=0), clock_us=clock.us)
    assert opened(circuits).enter(10) == 0


_OTHER = """
import sys, pathlib
from inferway.resilience.circuits import BreakerRules, Circuits
circuits = Circuits.open(pathlib.Path(sys.argv[1]), BreakerRules())
circuit = circuits.circuit("a", "a", is_callers=False)
print(circuit.enter(10) > 0, flush=True)
for _ in range(3):
    circuit.failed()
print(circuit.cells[circuit.mark], flush=True)
sys.stdin.readline()
"""


def test_the_processes_of_a_machine_count_together_and_the_first_of_all_begins_anew(tmp_path: Path) -> None:
    ours = Circuits.open(tmp_path, BreakerRules())
    circuit = ours.circuit("a", "a", is_callers=False)
    circuit.failed()
    circuit.failed()
    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert [other.stdout.readline().strip() for _ in range(2)] == ["False", "5"]
    assert 29 < circuit.enter(10) <= 30
    other.communicate("\n", timeout=20)
    assert circuit.enter(10) > 29
    ours.close()
    again = Circuits.open(tmp_path, BreakerRules())
    assert again.states() == ()
    again.close()
