"""Upstream faults and outages: `python -m tests.faults.upstream [--short] [--seed N]`."""

import tempfile
from pathlib import Path

from tests.faults.figures import Asked, note, run, tell
from tests.faults.upstream import outage, unreachable
from tests.faults.upstream.matrix import run_matrix


async def measure(asked: Asked) -> None:
    """Everything, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        await _matrix(asked, Path(folder))
        await outage.measure(asked, Path(folder))
    await unreachable.measure(asked)


async def _matrix(asked: Asked, folder: Path) -> None:
    done = await run_matrix(folder)
    for failure in done.failures():
        note(f"   {failure}")
    faults = {case.fault.name for case in done.cases}
    right = sum(not case.wrong for case in done.cases)
    tell(
        asked,
        "upstream faults × 3 providers: told, recorded and cleaned up as they must be",
        f"{right} of {len(done.cases)} ({len(faults)} faults)",
        "all of 120 or more (40 faults)",
        passed=not done.failures() and len(faults) >= 40 and len(done.cases) >= 120,
    )
    overrun_s = max(case.took_s - case.fault.timeout_s for case in done.cases)
    tell(
        asked,
        "upstream faults: longest overrun of a deadline",
        f"{max(0.0, overrun_s):.2f} s",
        "1 s",
        passed=overrun_s <= 1.0,
    )


if __name__ == "__main__":
    run("upstream", measure)
