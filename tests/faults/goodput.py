"""Three times as many calls as the gateway can do: what it does answer stays at its peak, the rest is refused at once."""

import asyncio
import json
import statistics
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.e2e.process import Served, serving
from tests.faults.client import request_bytes
from tests.faults.figures import Asked, note, run, tell
from tests.faults.programs import counting_upstream, pinned

_TIMES = 3.0
_CORE_LEAST = 0.8
"""The share of time with a core to run on, from which on the short form is judged."""
_SKIP_S = 1.0
"""What happens while the load sets in does not count; it takes about half a second until overload is known for what it is."""


async def measure(asked: Asked) -> None:
    """Peak and overload in turns, so that a busy moment of the machine meets both; the medians are compared."""
    # Other work on the machine shows as spread: the short form can only tell whether goodput falls apart.
    rounds, seconds, least = (2, 4.0, 0.6) if asked.short else (5, 8.0, 0.9)
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        with pinned(1):
            upstream = stack.enter_context(counting_upstream(folder))
        with pinned(0):
            served = stack.enter_context(_gateway(folder, upstream.url))
        body = {"provider": "openai", "model": "m", "inputs": {"prompts": ["hello " * 20]}, "stream": True}
        file = folder / "request"
        file.write_bytes(request_bytes("/v1/inference", served.headers(), json.dumps(body).encode()))
        await _load(served, file, 0, 2.0)
        found = [await _round(served, file, seconds) for _ in range(rounds)]
        health = await asyncio.to_thread(served.get, "/v1/health/readiness")
    shares = [good / peak for peak, good, *_ in found]
    core = min(each[3] for each in found)
    peak, tail_ms = statistics.median(each[0] for each in found), statistics.median(each[2] for each in found)
    # The short form runs on machines that are busy with other things; there calls are late for want of a core.
    is_measured = core >= _CORE_LEAST or not asked.short
    told = "" if is_measured else f"; not judged: the gateway had a core {core:.0%} of the time"
    tell(
        asked,
        "goodput at 3 times saturation, of the peak (streamed chat)",
        f"{statistics.median(shares):.0%} (rounds {min(shares):.0%} to {max(shares):.0%}; peak {peak:,.0f}/s, "
        f"both for each second with a core to run on; p99 of what was answered {tail_ms:.0f} ms{told})",
        f"{least:.0%} or more",
        passed=(statistics.median(shares) >= least or not is_measured) and health == 200,
    )


async def _round(served: Served, file: Path, seconds: float) -> tuple[float, float, float, float]:
    """Calls a second that were answered in time: as many as go, and then of three times as many; the p99 in ms; the core it had."""
    _, peak, own = await _answered(served, file, 0, seconds)
    over, good, own_over = await _answered(served, file, _TIMES * peak * own, seconds)
    note(
        f"peak {peak:.0f}/s, at {_TIMES:g} times {good:.0f}/s; had a core {own:.0%} and {own_over:.0%} of the time; {over}"
    )
    return peak, good, over["p99_ms"], min(own, own_over)


async def _answered(
    served: Served, file: Path, rate: float, seconds: float
) -> tuple[dict[str, Any], float, float]:
    """What the load tells; answers in time for each second in which the gateway could have a core; the share of such seconds.

    A machine may be busy with other things. How long the gateway stood in line for a core is what the kernel counts (schedstat), and
    that time is nobody's goodput.
    """
    began, waited_s = time.monotonic(), _waited_s(served)
    told = await _load(served, file, rate, seconds)
    own = 1 - (_waited_s(served) - waited_s) / (time.monotonic() - began)
    return told, told["in time"] / (seconds - _SKIP_S) / own, own


def _waited_s(served: Served) -> float:
    """Seconds that the thread of the event loop has been ready to run and did not, for want of a core."""
    return int(Path(f"/proc/{served.process.pid}/schedstat").read_text().split()[1]) / 1e9


def _gateway(folder: Path, upstream: str) -> AbstractContextManager[Served]:
    return serving(
        folder / "data",
        OPENAI_API_KEY="sk-upstream-key",
        OPENAI_BASE_URL=f"{upstream}/v1",
        INFERWAY_LIMITS__PER_MINUTE="0",
        INFERWAY_LIMITS__PER_SECOND="0",
        INFERWAY_LIMITS__CONCURRENT="0",
    )


async def _load(served: Served, file: Path, rate: float, seconds: float) -> dict[str, Any]:
    arguments = [str(served.port), str(file), str(rate), str(seconds), str(_SKIP_S)]
    with pinned(1):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.openloop", *arguments, stdout=asyncio.subprocess.PIPE
        )
    out, _ = await process.communicate()
    told: dict[str, Any] = {"in time": 0, "p99_ms": 0.0} | json.loads(out)
    return told


if __name__ == "__main__":
    run("goodput", measure)
