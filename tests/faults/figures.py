"""One figure of the fault runs: what was measured, what it had to be, and the command that measures it again."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

SEED = 20_260_301


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A line of the scorecard. `command` measures it again, from the root of the repository."""

    name: str
    figure: str
    target: str
    passed: bool
    seed: int | None
    command: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a scenario is to run: `short` takes seconds instead of minutes and shows the same on less."""

    scenario: str
    short: bool
    seed: int

    @property
    def command(self) -> str:
        return f"python -m tests.faults.{self.scenario}" + (" --short" if self.short else "")


def tell(
    asked: Asked, name: str, figure: object, target: str, *, passed: bool, is_random: bool = False
) -> None:
    """Prints a figure as a line of JSON. `is_random` says that the seed had a part in it."""
    told = Figure(
        name=name,
        figure=str(figure),
        target=target,
        passed=passed,
        seed=asked.seed if is_random else None,
        command=asked.command,
    )
    print(json.dumps(asdict(told), ensure_ascii=False), flush=True)


def read(line: str) -> Figure | None:
    """A line that a scenario printed; None when it is no figure."""
    try:
        fields: dict[str, Any] = json.loads(line)
        return Figure(**fields | {"figure": str(fields["figure"])})
    except (ValueError, TypeError, KeyError):
        return None


def run(scenario: str, measure: Callable[[Asked], Awaitable[None]]) -> None:
    """A scenario's entry: reads the arguments and measures; what it says beside figures goes to standard error."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.faults.{scenario}")
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    asyncio.run(_measured(measure(Asked(scenario=scenario, short=given.short, seed=given.seed))))


async def _measured(job: Awaitable[None]) -> None:
    await job


def note(words: str) -> None:
    """Something for whoever watches the run."""
    print(words, file=sys.stderr, flush=True)
