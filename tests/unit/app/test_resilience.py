"""What the outside is told of circuits."""

from pathlib import Path

from inferway.app.resilience import breakers, failing_circuits, left_alone, open_circuits
from inferway.resilience.circuits import Circuits
from inferway.resilience.lines import Lines
from inferway.settings import load


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


def test_whoever_looks_sees_the_circuits_of_the_server_and_leaves_them(tmp_path: Path) -> None:
    settings = load(environ={"INFERWAY_DATA_DIR": str(tmp_path), "INFERWAY_CALLS__BREAKER_FAILURES": "2"})
    servers = open_circuits(settings)
    try:
        circuit = servers.circuit("openai and its key", "openai", is_callers=False)
        circuit.failed()
        assert failing_circuits(settings) == (), "one failure is none too many"
        circuit.failed()
        (found,) = failing_circuits(settings)
        assert (found.provider, found.credential, found.state, found.failures) == (
            "openai",
            "operator",
            "open",
            2,
        )
        assert 0 < found.opens_for_s <= 30
        assert circuit.shut_for_s() > 0
    finally:
        servers.close()
    assert failing_circuits(settings) == (), "whoever opens the table first finds every circuit closed"
