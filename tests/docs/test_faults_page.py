"""The page of faults names what there is: each row of the catalogue once, each with tests and scenarios that exist."""

import ast
import re
from pathlib import Path

from tests.faults.__main__ import SCENARIOS
from tests.faults.scorecard import PAGE, rows_of

ROOT = Path(__file__).parents[2]
ROWS = {
    *(f"U{n}" for n in range(1, 20)),
    *(f"S{n}" for n in range(1, 10)),
    *(f"C{n}" for n in range(1, 10)),
    *(f"P{n}" for n in range(1, 9)),
    *(f"X{n}" for n in range(1, 15)),
}
STORAGE_ROWS = 10
"""Section 4 has no numbers: so many parts may be down (two rows of it are one here)."""
LEFT_OUT_MOST = 10


def _tables() -> tuple[list[str], list[str]]:
    """The lines of the map, and of what is left out."""
    text = PAGE.read_text("utf-8").partition("\n## Every row\n")[2]
    shown, _, left = text.partition("\n### Left out\n")
    return _rows(shown), _rows(left)


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")][2:]


def _row(line: str) -> str:
    return line.split(" | ", maxsplit=1)[0].removeprefix("| ")


def _tests_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_is_shown_or_left_out_with_its_reason() -> None:
    shown, left = _tables()
    rows = [_row(line) for line in (*shown, *left)]
    named = [row for row in rows if row != "section 4"]
    assert sorted(named) == sorted(ROWS)
    assert rows.count("section 4") >= STORAGE_ROWS
    assert len(left) <= LEFT_OUT_MOST
    assert all(len(line.split(" | ")[2]) > 20 for line in left)


def test_every_test_that_is_named_exists() -> None:
    shown, _ = _tables()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", "\n".join(shown))
    assert len(named) > 60
    assert not [f"{path}::{name}" for path, name in named if name not in _tests_in(ROOT / path)]


def test_every_scenario_that_is_named_is_run() -> None:
    shown, _ = _tables()
    named = set(re.findall(r"`python -m tests\.faults\.(\w+)`", "\n".join(shown)))
    assert named <= {each.name for each in SCENARIOS}


def test_every_line_shows_something() -> None:
    shown, _ = _tables()
    assert all("::" in line or "python -m tests.faults." in line for line in shown)


def test_no_figure_missed_its_target() -> None:
    rows = rows_of(PAGE.read_text("utf-8"))
    assert len(rows) >= 60
    assert not [line for line in rows if "| NO |" in line]
