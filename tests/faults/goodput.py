"""Three times as many calls as the gateway can do: what it does answer stays at its peak, the rest is refused."""

import asyncio
import contextlib
import json
import statistics
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct

from tests.e2e.process import Served, serving
from tests.faults.client import request_bytes
from tests.faults.figures import Asked, note, run, tell
from tests.faults.programs import counting_upstream, go_first, pinned

_TIMES = 3.0
_CORE_LEAST = 0.8
"""The share of time with a core to run on, from which on the short form is judged."""
_LOAD_MOST = 0.8
"""The share of its own core that the load may use: beyond it, it would be the load that is measured."""
_SKIP_S = 2.0
"""What happens while the load sets in does not count: half a second until overload is known for what it is, and what came until then."""
_ASKED_EVERY_S = 0.2
_SLOWEST_S, _SLOWEST_SHORT_S = 1.0, 5.0


class Round(Struct, frozen=True, kw_only=True):
    """Answers in time for each second with a core to run on: as many as go (just before and just after), and then of three times as many.

    `core` is the share of the time with a core, `told` what the overload said of itself.
    """

    peak: float
    good: float
    core: float
    told: dict[str, Any]


async def measure(asked: Asked) -> None:
    """Peak and overload in turns, each overload between two peaks, so that a busy moment meets both; the median share counts."""
    rounds, seconds = (2, 5.0) if asked.short else (11, 7.0)
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        if not asked.short:
            go_first()
        with pinned(1):
            upstream = stack.enter_context(counting_upstream(folder))
        with pinned(0):
            served = stack.enter_context(_gateway(folder, upstream.url))
        watch = Watch(served)
        watching = asyncio.create_task(watch.run())
        chats: list[Round] = []
        for kind, more in (("streamed", {"stream": True}), ("plain", {})):
            file = folder / kind
            file.write_bytes(_call(served, more))
            await _load(served, file, 0, 3.0)
            found = await _rounds(served, file, seconds, rounds)
            _judge(asked, kind, found)
            chats += found
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    _judge_manners(asked, [each.told for each in chats], watch)


def _call(served: Served, more: dict[str, Any]) -> bytes:
    body = {"provider": "openai", "model": "m", "inputs": {"prompts": ["hello " * 20]}, **more}
    return request_bytes("/v1/inference", served.headers(), json.dumps(body).encode())


def _judge(asked: Asked, kind: str, found: list[Round]) -> None:
    # Other work on the machine shows as spread: the short form can only tell whether goodput falls apart.
    least = 0.6 if asked.short else 0.9
    shares = [each.good / each.peak for each in found]
    core, used = min(each.core for each in found), max(each.told["used"] for each in found)
    peak = statistics.median(each.peak for each in found)
    tail_ms = statistics.median(each.told["p99_ms"] for each in found)
    refused_ms = statistics.median(each.told["refused_p99_ms"] for each in found)
    # The short form runs on machines that are busy with other things; there calls are late for want of a core.
    is_measured = core >= _CORE_LEAST or not asked.short
    told = "" if is_measured else f"; not judged: the gateway had a core {core:.0%} of the time"
    tell(
        asked,
        f"goodput at 3 times saturation, of the peak ({kind} chat)",
        f"{statistics.median(shares):.0%} (rounds {min(shares):.0%} to {max(shares):.0%}; peak {peak:,.0f}/s, "
        f"both for each second with a core to run on; p99 of what was answered {tail_ms:.0f} ms, of refusals {refused_ms:.0f} ms; "
        f"the load used {used:.0%} of another core{told})",
        f"{least:.0%} or more",
        passed=(statistics.median(shares) >= least and used <= _LOAD_MOST) or not is_measured,
    )


def _judge_manners(asked: Asked, told: list[dict[str, Any]], watch: "Watch") -> None:
    unanswered, broken, unhinted = (
        sum(each[name] for each in told) for name in ("unanswered", "broken", "without a hint")
    )
    tell(
        asked,
        "overload: calls without an answer, connections that broke, refusals without Retry-After",
        f"{unanswered}, {broken}, {unhinted} (of {sum(each.get('503', 0) for each in told):,} refusals; "
        f"{sum(each['not sent'] for each in told):,} calls were not sent, for want of a connection among 4,000)",
        "0, 0, 0",
        passed=not (unanswered or broken or unhinted),
    )
    within_s = _SLOWEST_SHORT_S if asked.short else _SLOWEST_S
    waits_s = sorted(watch.waits_s)
    most_s = waits_s[99 * (len(waits_s) - 1) // 100]
    tell(
        asked,
        "overload: readiness and administration answered meanwhile, each on a new connection",
        f"{watch.answered} of {len(watch.waits_s)}, 99 of 100 within {1000 * most_s:.0f} ms, the slowest after {1000 * waits_s[-1]:.0f} ms",
        f"all, 99 of 100 within {within_s:g} s",
        passed=watch.answered == len(waits_s) and most_s <= within_s,
    )


class Watch:
    """Asks for readiness and for the namespaces again and again, each time on a new connection."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.answered = 0
        self.waits_s: list[float] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            for path in ("/v1/health/readiness", "/v1/namespaces"):
                began = time.monotonic()
                status = await asyncio.to_thread(self._ask, path)
                self.waits_s.append(time.monotonic() - began)
                self.answered += status == 200
            await asyncio.sleep(_ASKED_EVERY_S)

    def _ask(self, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self._served.port, timeout=30)
        try:
            connection.request("GET", path, headers=self._served.headers())
            response = connection.getresponse()
            response.read()
        except OSError:
            return 0
        else:
            return response.status
        finally:
            connection.close()


async def _rounds(served: Served, file: Path, seconds: float, count: int) -> list[Round]:
    found = []
    _, before, own = await _answered(served, file, 0, seconds)
    for _ in range(count):
        told, good, own_over = await _answered(served, file, _TIMES * before * own, seconds)
        _, after, own_after = await _answered(served, file, 0, seconds)
        peak, core = (before + after) / 2, min(own, own_over, own_after)
        note(
            f"{file.name}: peak {peak:.0f}/s, at {_TIMES:g} times {good:.0f}/s; had a core {core:.0%} of the time; {told}"
        )
        found.append(Round(peak=peak, good=good, core=core, told=told))
        before, own = after, own_after
    return found


async def _answered(
    served: Served, file: Path, rate: float, seconds: float
) -> tuple[dict[str, Any], float, float]:
    """What the load tells; answers in time for each second in which the gateway could have a core; the share of such seconds.

    A machine may be busy with other things. How long the gateway stood in line for a core is what the kernel counts (schedstat), and
    that time is nobody's goodput; but for the time in which it stood behind its own other threads, which write down its calls.
    """
    began, waited_s = time.monotonic(), _waited_s(served)
    told = await _load(served, file, rate, seconds)
    own = min(1.0, 1 - (_waited_s(served) - waited_s) / (time.monotonic() - began))
    return told, told["in time"] / (seconds - _SKIP_S) / own, own


def _waited_s(served: Served) -> float:
    """Seconds, at least, that the thread of the event loop has been ready to run and did not, because somebody else had its core."""
    tasks = Path(f"/proc/{served.process.pid}/task")
    ran_s = {}
    for each in tasks.iterdir():
        with contextlib.suppress(OSError):  # a thread that ended between the list and the look
            ran_s[each.name] = [int(part) / 1e9 for part in (each / "schedstat").read_text().split()]
    waited_s = ran_s.pop(str(served.process.pid))[1]
    return waited_s - sum(each[0] for each in ran_s.values())


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
    told: dict[str, Any] = json.loads(out)
    return told


if __name__ == "__main__":
    run("goodput", measure)
