"""What the outside is told of circuits."""

from inferway.app.resilience import breakers, left_alone
from inferway.resilience.circuits import Circuits
from inferway.resilience.lines import Lines


def test_the_worst_circuit_of_a_credentials_kind_is_told_and_the_operators_open_ones_are_left_alone() -> None:
    lines = Lines(Circuits.in_memory(clock_us=lambda: 10**9))
    for provider, secret, is_callers, failures in (
        ("a", "operator", False, 5),
        ("b", "operator", False, 4),
        ("b", "one", True, 0),
        ("b", "two", True, 5),
    ):
        line = lines.get(provider, "https://p.example", secret, is_callers=is_callers)
        assert line.circuit is not None
        for _ in range(failures):
            line.circuit.failed()
    assert sorted(breakers(lines)) == [
        ("a", "operator", "open"),
        ("b", "caller", "open"),
        ("b", "operator", "closed"),
    ]
    assert left_alone(lines) == {"a"}
