"""The pipeline in a simulated world: what happens, and when, is decided by one seed."""

import asyncio
import logging

from tests.faults.figures import Asked, run, tell
from tests.simulation.machine import Gateway, simulate


async def measure(asked: Asked) -> None:
    """As many runs as there is time for; a broken promise ends this with the steps that led to it."""
    # Every answer that cannot be used is a line of the log.
    logging.disable()
    runs = 60 if asked.short else 500
    await asyncio.to_thread(simulate, asked.seed, runs=runs, steps=50)
    tell(
        asked,
        "simulation: promises broken (one row for each acknowledged call, attempts, places, deadlines, namespaces)",
        f"0 in {Gateway.steps:,} steps of {runs} runs ({Gateway.calls:,} calls)",
        "0",
        passed=Gateway.steps > runs,
        is_random=True,
    )


if __name__ == "__main__":
    run("simulation", measure)
