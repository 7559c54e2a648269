"""`make faults`: breaks things on purpose, prints what was measured, and writes the scorecard of `docs/faults.md`."""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.faults import scorecard
from tests.faults.figures import SEED, Figure, note, read

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Scenario:
    """A module of this folder that prints figures. A `long` one runs only when it is asked for."""

    name: str
    seconds: int
    long: bool = False


SCENARIOS = (
    Scenario("ssrf", 120),
    Scenario("upstream", 300),
    Scenario("simulation", 300),
    Scenario("outage", 300),
    Scenario("memory", 180),
    Scenario("slow", 600),
    Scenario("aborts", 60),
    Scenario("cpu", 300),
    Scenario("lag", 60),
    Scenario("goodput", 600),
    Scenario("workers", 120),
    Scenario("drain", 120),
    Scenario("rolling", 300),
    Scenario("kills", 900),
    Scenario("soak", 3000, long=True),
)
"""Each with the most seconds that it may take."""


def main() -> None:
    """Runs the scenarios one after another; exit status 1 when a target is missed or a scenario fails."""
    asked, began = _arguments(), datetime.now(UTC)
    figures: list[Figure] = []
    for scenario in SCENARIOS:
        if asked.only and scenario.name not in asked.only:
            continue
        if scenario.long and not asked.long and scenario.name not in (asked.only or ()):
            continue
        figures += _run(scenario, asked)
    if not asked.short:
        scorecard.write(figures, f"{began:%Y-%m-%d %H:%M}, {'by itself' if asked.only else 'whole'}")
        note(f"written: {scorecard.PAGE.relative_to(_ROOT)}")
    missed = [figure.name for figure in figures if not figure.passed]
    note(
        f"{len(figures) - len(missed)} of {len(figures)} targets met"
        + "".join(f"\n  NOT: {each}" for each in missed)
    )
    sys.exit(1 if missed or not figures else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults ARGS=…", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes in all; the page stays as it is")
    parser.add_argument("--long", action="store_true", help="also what takes many minutes, such as the soak")
    parser.add_argument(
        "--only", action="append", choices=[each.name for each in SCENARIOS], help="repeatable"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


def _run(scenario: Scenario, asked: argparse.Namespace) -> list[Figure]:
    """One scenario in a process of its own; its figures, and one more when it failed."""
    command = [sys.executable, "-m", f"tests.faults.{scenario.name}", "--seed", str(asked.seed)]
    command += ["--short"] if asked.short else []
    note(f"\n== {scenario.name}")
    began = time.monotonic()
    figures = []
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            out, _ = process.communicate(timeout=scenario.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            note(f"{scenario.name}: ended after {scenario.seconds} s")
    for line in out.splitlines():
        figure = read(line)
        if figure is None:
            note(f"   {line}")
            continue
        figures.append(figure)
        note(f"{'   ' if figure.passed else 'NOT'} {figure.name}: {figure.figure} (target: {figure.target})")
    if process.returncode or not figures:
        figures.append(_failed(scenario, process.returncode))
    note(f"   {time.monotonic() - began:.0f} s")
    return figures


def _failed(scenario: Scenario, status: int) -> Figure:
    command = f"python -m tests.faults.{scenario.name}"
    return Figure(
        name=f"the scenario {scenario.name} itself",
        figure=f"exit status {status}",
        target="0",
        passed=False,
        seed=None,
        command=command,
    )


if __name__ == "__main__":
    main()
