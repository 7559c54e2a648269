"""The table of figures in `docs/faults.md`: read, brought up to date and written."""

import os
from collections.abc import Iterable
from pathlib import Path

from tests.faults.figures import Figure

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
START, END = "<!-- scorecard: `make faults` -->\n", "<!-- end of scorecard -->"
_HEAD = (
    "| What | Figure | Target | Met | Seed | Command | Run |\n| --- | --- | --- | --- | --- | --- | --- |\n"
)


def rows_of(page: str) -> list[str]:
    """The rows of the table as they stand."""
    table = page.partition(START)[2].partition(END)[0]
    return [line for line in table.splitlines() if line.startswith("| ")][2:]


def row(figure: Figure, run: str) -> str:
    """A figure as a row; `run` says when it was measured, and whether with all others."""
    seed = "–" if figure.seed is None else str(figure.seed)
    met = "yes" if figure.passed else "NO"
    return f"| {figure.name} | {figure.figure} | {figure.target} | {met} | {seed} | `{figure.command}` | {run} |".replace(
        "\n", " "
    )


def name_of(line: str) -> str:
    """What a row measures."""
    return line.split(" | ", maxsplit=1)[0].removeprefix("| ")


def merged(old: list[str], figures: Iterable[Figure], run: str) -> list[str]:
    """The rows with new figures in the places of the old ones of the same name; what is new comes last."""
    found = {name_of(line): line for line in old}
    found.update((figure.name, row(figure, run)) for figure in figures)
    return list(found.values())


def write(figures: list[Figure], run: str) -> None:
    """Brings the page up to date."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    machine = f"Measured on a machine with {os.cpu_count()} cores.\n\n"
    table = _HEAD + "".join(line + "\n" for line in merged(rows_of(page), figures, run))
    PAGE.write_text(f"{before}{START}\n{machine}{table}\n{END}{after}", "utf-8")
