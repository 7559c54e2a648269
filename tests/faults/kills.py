"""kill -9 again and again under load: what was acknowledged is recorded, once, and the records are the upstream's own count."""

import asyncio
import contextlib
import json
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, note, run, tell
from tests.faults.programs import CountingUpstream, counting_upstream

_LINES = 12
_SETTLED_WITHIN_S = 60.0


class Load:
    """Clients with numbered calls; `acknowledged` are those that were answered with 200."""

    def __init__(self, served: Served, name: str) -> None:
        self._served = served
        self._name = name
        self._count = 0
        self.acknowledged: list[str] = []
        self._tasks = [asyncio.create_task(self._run()) for _ in range(_LINES)]

    async def until(self, count: int) -> None:
        """Waits for so many acknowledged calls."""
        while len(self.acknowledged) < count:
            await asyncio.sleep(0.002)

    async def ended(self) -> None:
        """Once the server is gone the clients go too."""
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        line = Line(self._served.port, timeout_s=10.0)
        headers = self._served.headers()
        while True:
            self._count += 1
            name = f"{self._name}-{self._count}"
            body = {"provider": "openai", "model": "m", "inputs": {"prompts": [name]}}
            request = request_bytes(
                "/v1/inference", headers | {"X-Request-Id": name}, json.dumps(body).encode()
            )
            reply = await line.call(request)
            if not reply.status:
                line.close()
                return
            if reply.status == 200:
                self.acknowledged.append(name)


async def measure(asked: Asked) -> None:
    """Kill after kill at moments that the seed chooses, then a last start that must find everything."""
    kills, wanted = (8, 1_600) if asked.short else (50, 20_000)
    chance = random.Random(asked.seed)
    acknowledged: list[str] = []
    with TemporaryDirectory() as name, counting_upstream(Path(name), delay_ms=3) as upstream:
        folder = Path(name) / "data"
        env = {
            "OPENAI_API_KEY": "sk-upstream-key",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            **{f"INFERWAY_LIMITS__{each}": "0" for each in ("PER_MINUTE", "PER_SECOND", "CONCURRENT")},
        }
        for number in range(kills):
            left = wanted - len(acknowledged)
            share = left / (kills - number)
            count = left if number == kills - 1 else int(share * chance.uniform(0.5, 1.5))
            acknowledged += await asyncio.to_thread(_killed_after, folder, env, f"k{number}", count)
            note(f"{number + 1} kills, {len(acknowledged)} acknowledged")
        with serving(folder, **env):
            took_s = await _settled(folder, set(upstream.seen()) | set(acknowledged))
        _judge(asked, folder, acknowledged, upstream, took_s, kills)


def _killed_after(folder: Path, env: dict[str, str], name: str, count: int) -> list[str]:
    async def load_and_kill(served: Served) -> list[str]:
        load = Load(served, name)
        await load.until(count)
        served.process.kill()
        await load.ended()
        return load.acknowledged

    with serving(folder, **env) as served:
        return asyncio.run(load_and_kill(served))


def _records(folder: Path) -> list[tuple[str, str, str]]:
    """Request id, status and record id of every call in the ledger."""
    with contextlib.closing(sqlite3.connect(folder / "inferway.db", timeout=10)) as database:
        return database.execute("SELECT request_id, status, record_id FROM usage").fetchall()


async def _settled(folder: Path, wanted: set[str]) -> float:
    """Seconds after the last start until every wanted call is in the ledger; a minute at most."""
    began = time.monotonic()
    while time.monotonic() - began < _SETTLED_WITHIN_S:
        if wanted <= {request_id for request_id, *_ in await asyncio.to_thread(_records, folder)}:
            break
        await asyncio.sleep(0.2)
    return time.monotonic() - began


def _judge(
    asked: Asked, folder: Path, acknowledged: list[str], upstream: CountingUpstream, took_s: float, kills: int
) -> None:
    found = _records(folder)
    statuses = {request_id: status for request_id, status, _ in found}
    unrecorded = sum(statuses.get(each) != "ok" for each in acknowledged)
    doubled = sum(times - 1 for times in Counter(request_id for request_id, *_ in found).values())
    reached = Counter(upstream.seen())
    missing = sum(each not in statuses for each in reached)
    # A call whose process died between its intent and its way out stands as unknown although nobody was called.
    never_left = [each for each in statuses if each not in reached]
    wrong = sum(statuses[each] != "unknown" for each in never_left)
    tell(
        asked,
        f"kill -9 ×{kills} under load: acknowledged calls that are not recorded",
        f"{unrecorded} of {len(acknowledged):,}",
        "0",
        passed=unrecorded == 0,
        is_random=True,
    )
    tell(asked, f"kill -9 ×{kills}: calls recorded twice", doubled, "0", passed=doubled == 0, is_random=True)
    tell(
        asked,
        f"kill -9 ×{kills}: calls that reached the upstream, by its own count, and are missing",
        f"{missing} of {reached.total():,} ({len(found):,} recorded, {len(never_left)} of them announced and not sent)",
        "0",
        passed=missing == 0 and wrong == 0 and reached.total() == len(reached),
        is_random=True,
    )
    tell(
        asked,
        f"kill -9 ×{kills}: unknown calls settled after the restart",
        f"{took_s:.1f} s",
        "60 s",
        passed=took_s < _SETTLED_WITHIN_S,
        is_random=True,
    )


if __name__ == "__main__":
    run("kills", measure)
