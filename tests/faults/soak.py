"""A long mixed load over fifty ends of every lifetime: memory, open files and tasks stay what they were.

`python -m tests.faults.soak` takes about ten minutes; lifetimes that are hours or minutes are seconds here.
"""

import asyncio
import json
import random
import re
import statistics
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.process import Served, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, note, run, tell
from tests.faults.programs import counting_upstream

_LINES = 16
_CALLS_OF_A_LINE = 60
"""After so many calls a client rests until its connection has been closed, and connects anew."""
_LIFETIMES = {
    "INFERWAY_SERVER__KEEPALIVE_TIMEOUT_S": "1",
    "INFERWAY_ACCESS__REFRESH_S": "1",
    "INFERWAY_ACCESS__OUTAGE_GRACE_S": "2",
    "INFERWAY_IDEMPOTENCY__KEEP_S": "2",
    "INFERWAY_IDEMPOTENCY__LEASE_S": "2",
    "INFERWAY_JOURNAL__DRAIN_S": "0.5",
    "INFERWAY_JOURNAL__FILE_MB": "1",
    "INFERWAY_LIMITS__PER_MINUTE": "1000000",
    "INFERWAY_LIMITS__PER_SECOND": "100000",
    "INFERWAY_LIMITS__CONCURRENT": "1000",
}
_LONGEST_S = 2.0
_EXPIRIES = 50
_METRICS = {"memory": "process_resident_memory_bytes", "files": "process_open_fds", "tasks": "inferway_tasks"}

Sample = dict[str, float]


class Load:
    """Clients with a mixture of calls; `done` counts answers by status."""

    def __init__(self, served: Served, chance: random.Random, pace_s: float) -> None:
        self._served = served
        self._chance = chance
        self._pace_s = pace_s
        self._numbers = count()
        self.done: Counter[int] = Counter()
        self._is_over = False
        self._tasks = [asyncio.create_task(self._run()) for _ in range(_LINES)]

    async def until(self, answers: int) -> None:
        """Waits for so many answers in all."""
        while self.done.total() < answers:
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Lets every call end."""
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        while not self._is_over:
            line = Line(self._served.port)
            for _ in range(_CALLS_OF_A_LINE):
                self.done[(await line.call(self._request())).status] += 1
                await asyncio.sleep(self._pace_s)
            if self._chance.random() < 0.02:
                await asyncio.sleep(1.5)
            line.close()

    def _request(self) -> bytes:
        number = next(self._numbers)
        kind = self._chance.choices(
            ("chat", "stream", "embedding", "kept", "strange", "unknown key"), (60, 12, 10, 8, 6, 4)
        )[0]
        headers = self._served.headers()
        body: dict[str, object] = {
            "provider": "openai",
            "model": "m",
            "inputs": {"prompts": [f"call {number}"]},
        }
        if kind == "stream":
            body["stream"] = True
        elif kind == "embedding":
            body |= {"provider": "fake", "model": "fake-embed", "inputs": {"texts": [f"text {number % 97}"]}}
        elif kind == "kept":
            headers["Idempotency-Key"] = f"key-{number // 2}"
        elif kind == "strange":
            body = {"provider": "openai", f"field-{number}": number}
        elif kind == "unknown key":
            headers["Authorization"] = f"Bearer sk_{number:036d}"
        return request_bytes("/v1/inference", headers, json.dumps(body).encode())


async def measure(asked: Asked) -> None:
    """After the first tenth, which fills what is filled once, samples every ten thousandth call."""
    wanted, step = (6_000, 600) if asked.short else (200_000, 4_000)
    # Fifty times the longest lifetime must fit into the run.
    pace_s = 0.0 if asked.short else _EXPIRIES * _LONGEST_S * 1.2 * _LINES / wanted
    with TemporaryDirectory() as name, counting_upstream(Path(name)) as upstream:
        env = {"OPENAI_API_KEY": "sk-upstream-key", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
        chosen = env | _LIFETIMES | {"INFERWAY_PROVIDERS__FAKE__ENABLED": "true"}
        with serving(Path(name) / "data", **chosen) as served:
            load = Load(served, random.Random(asked.seed), pace_s)
            began = time.monotonic()
            samples: list[Sample] = []
            for answers in range(step, wanted + 1, step):
                await load.until(answers)
                samples.append(await _sample(served) | {"answers": float(load.done.total())})
                note(f"{samples[-1]}")
            took_s = time.monotonic() - began
            await load.stop()
            await asyncio.sleep(3.0)
            at_rest = await _sample(served)
    _judge(asked, samples[len(samples) // 5 :], at_rest, load.done, took_s)


def _judge(asked: Asked, samples: list[Sample], at_rest: Sample, done: Counter[int], took_s: float) -> None:
    grown_mb = _slope(samples, "memory") * 10_000 / 1024 / 1024
    most = 1.0 if not asked.short else 30.0
    tell(
        asked,
        "soak: memory per 10,000 requests",
        f"{grown_mb:+.2f} MB ({done.total():,} requests in {took_s:.0f} s, "
        f"{took_s / _LONGEST_S:.0f} ends of the longest lifetime; {_told(done)})",
        f"{most:g} MB or less" + (f", {_EXPIRIES} ends or more" if not asked.short else ""),
        passed=grown_mb <= most and (asked.short or took_s / _LONGEST_S >= _EXPIRIES) and not done[0],
        is_random=True,
    )
    for what in ("files", "tasks"):
        first, last = (statistics.median(each[what] for each in part) for part in _ends(samples))
        tell(
            asked,
            f"soak: {'open files' if what == 'files' else what} under load",
            f"{first:.0f} at first, {last:.0f} at last; {at_rest[what]:.0f} at rest",
            "flat: no more than 10 on top",
            passed=last <= first + 10 and at_rest[what] <= first + 10,
            is_random=True,
        )


def _told(done: Counter[int]) -> str:
    return ", ".join(f"{times:,} × {status}" for status, times in sorted(done.items()))


def _ends(samples: list[Sample]) -> Iterator[list[Sample]]:
    third = max(1, len(samples) // 3)
    yield samples[:third]
    yield samples[-third:]


def _slope(samples: list[Sample], what: str) -> float:
    """The median of the slopes between all pairs: growth per request that single steps do not hide or make."""
    slopes = [
        (later[what] - earlier[what]) / (later["answers"] - earlier["answers"])
        for n, earlier in enumerate(samples)
        for later in samples[n + 1 :]
    ]
    return statistics.median(slopes)


async def _sample(served: Served) -> Sample:
    """The gauges of the server's own page of metrics, which are a second old at most."""
    keys = tomllib.loads((served.data_dir / "credentials.toml").read_text())
    line = Line(served.port)
    headers = {"Authorization": f"Bearer {keys['admin_key']}"}
    page = (await line.call(request_bytes("/metrics", headers, method="GET"))).body.decode()
    line.close()
    return {
        name: sum(float(each) for each in re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE))
        for name, metric in _METRICS.items()
    }


if __name__ == "__main__":
    run("soak", measure)
