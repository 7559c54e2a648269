"""The ledger beside an upstream's own count; `python -m tests.faults.parity` does it with ten thousand calls."""

from pathlib import Path

from tests.faults.parity import run


def test_the_ledger_holds_what_the_upstream_counted(tmp_path: Path) -> None:
    found = run(400, tmp_path)
    assert {name: ledger for name, (ledger, _) in found.items()} == {
        name: told for name, (_, told) in found.items()
    }
    assert found["attempts and requests"][0] > 400
    assert found["rows and calls seen"][0] > 380
