"""The scorecard of the fault runs: a table that is brought up to date row by row."""

import json

from tests.faults.figures import Figure, read
from tests.faults.scorecard import merged, row


def _figure(name: str, figure: str = "0 of 10", *, passed: bool = True) -> Figure:
    return Figure(
        name=name, figure=figure, target="0", passed=passed, seed=7, command="python -m tests.faults.x"
    )


def test_a_figure_is_a_row_with_its_seed_and_command() -> None:
    line = row(_figure("lost calls"), "today, whole")
    assert line == "| lost calls | 0 of 10 | 0 | yes | 7 | `python -m tests.faults.x` | today, whole |"


def test_a_missed_target_is_shown() -> None:
    assert "| NO |" in row(_figure("lost calls", passed=False), "")


def test_new_figures_take_the_places_of_old_ones_and_others_stay() -> None:
    old = [row(_figure("one"), "yesterday"), row(_figure("two"), "yesterday")]
    rows = merged(old, [_figure("three"), _figure("one", "1 of 10")], "today")
    assert [line.split(" | ")[0] for line in rows] == ["| one", "| two", "| three"]
    assert "1 of 10" in rows[0]
    assert [line.split(" | ")[-1] for line in rows] == ["today |", "yesterday |", "today |"]


def test_only_lines_of_figures_are_read() -> None:
    line = {"name": "n", "figure": 3, "target": "0", "passed": True, "seed": None, "command": "c"}
    found = read(json.dumps(line))
    assert found is not None
    assert (found.figure, found.seed) == ("3", None)
    assert read("something else") is None
    assert read('{"name": "n"}') is None
