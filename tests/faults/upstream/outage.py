"""Providers that are down, half down, slow and back: how many calls reach them, and how long callers wait to be told."""

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.process import Served, serving
from tests.faults.client import Line, Reply, request_bytes
from tests.faults.figures import Asked, tell
from tests.faults.upstream.wires import OPENAI
from tests.upstreams.scripted import Peer, scripted

_OPEN_S = 5.0
_AT_ONCE = 50
_BRISK_S, _SLOWED = 0.02, 50


@dataclass
class Provider:
    """An upstream whose health a test decides: `is_well` is asked for each request. `prompts` are those that reached it."""

    is_well: Callable[[], bool] = lambda: False
    delay_s: float = 0.0
    prompts: list[str] = field(default_factory=list)

    async def serve(self, peer: Peer) -> None:
        """One connection."""
        while True:
            body = json.loads((await peer.request()).partition(b"\r\n\r\n")[2])
            self.prompts.append(body["messages"][-1]["content"])
            is_well = self.is_well()
            await asyncio.sleep(self.delay_s)
            if is_well:
                await peer.answer(OPENAI.ok(), "content-type: application/json")
            else:
                await peer.answer(OPENAI.error(500), "content-type: application/json", status="500 No")


async def measure(asked: Asked, folder: Path) -> None:
    """All figures about outages."""
    await _breaker(asked, folder / "breaker")
    await _full_outage(asked, folder / "outage", breaker=True)
    await _full_outage(asked, folder / "budget", breaker=False)
    await _flapping(asked, folder / "flapping")
    await _brown_out(asked, folder / "brown-out")


class _Clients:
    """Callers of one server."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.times_s: list[float] = []

    async def call(self, line: Line, prompt: str, provider: str = "down") -> Reply:
        """One call; how long it took is noted."""
        body = {"provider": provider, "model": "m", "inputs": {"prompts": [prompt]}}
        request = request_bytes("/v1/inference", self._served.headers(), json.dumps(body).encode())
        began = time.perf_counter()
        reply = await line.call(request)
        self.times_s.append(time.perf_counter() - began)
        return reply

    async def many(self, count: int, at_once: int, provider: str = "down") -> list[Reply]:
        """So many calls with different prompts, `at_once` beside each other."""
        prompts = iter(range(count))
        replies: list[Reply] = []

        async def work() -> None:
            line = Line(self._served.port)
            replies.extend([await self.call(line, f"{provider}-{number}", provider) for number in prompts])
            line.close()

        await asyncio.gather(*(work() for _ in range(at_once)))
        return replies


def _settings(folder: Path, ports: dict[str, int], **calls: float) -> str:
    folder.mkdir()
    lines = ["[local]", "enabled = false", "[limits]", "per_minute = 0", "per_second = 0", "[calls]"]
    lines += [f"{name} = {value}" for name, value in calls.items()]
    for name, port in ports.items():
        lines += [f"[providers.{name}]", 'kind = "openai"', 'api_key = "sk-x"']
        lines += [f'base_url = "{OPENAI.base_url("http", "127.0.0.1", port)}"']
    file = folder / "faults.toml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return str(file)


async def _breaker(asked: Asked, folder: Path) -> None:
    """Two workers, one circuit: opens, refuses at once, lets one call look, closes."""
    down, well = Provider(), Provider(is_well=lambda: True)
    async with scripted(down.serve) as one, scripted(well.serve) as other:
        ports = {"down": one.port, "well": other.port}
        config = _settings(folder, ports, attempts=1, breaker_open_s=_OPEN_S)
        with serving(folder / "data", "--config", config, "--workers", "2") as served:
            await _opens(asked, served, down)
            clients = _Clients(served)
            answered = sum(reply.status == 200 for reply in await clients.many(100, 4, "well"))
            tell(
                asked,
                "breaker: calls to another provider that were answered meanwhile",
                f"{answered} of 100",
                "100 of 100",
                passed=answered == 100,
            )
            await _recovers(asked, served, down)


async def _opens(asked: Asked, served: Served, down: Provider) -> None:
    best_ms, told = 1e9, Counter[tuple[int, str]]()
    clients = _Clients(served)
    # Connections land on either worker.
    lines = [Line(served.port) for _ in range(6)]
    for number in range(20):
        await clients.call(lines[number % 6], f"first-{number}")
    reached = len(down.prompts)
    tell(
        asked,
        "breaker: calls that reached a dead provider before it opened (20 calls, 2 workers)",
        reached,
        "5",
        passed=reached <= 5,
    )
    until = time.monotonic() + _OPEN_S * 0.8
    while time.monotonic() < until:
        clients.times_s.clear()
        for number in range(100):
            reply = await clients.call(lines[number % 6], "fast")
            told[reply.status, json.loads(reply.body)["error"].get("code", "")] += 1
        best_ms = min(best_ms, sorted(clients.times_s)[98] * 1000)
    for line in lines:
        line.close()
    tell(
        asked,
        "breaker: fast-fails, p99 of the best hundred",
        f"{best_ms:.1f} ms ({sum(told.values())} calls, all 503 circuit_open)",
        "10 ms",
        passed=best_ms <= 10 and set(told) == {(503, "circuit_open")},
    )


async def _recovers(asked: Asked, served: Served, down: Provider) -> None:
    """After the provider is well again: the first call goes out alone, and when it is answered all others may."""
    clients = _Clients(served)
    down.is_well, down.delay_s = (lambda: True), 0.4
    await asyncio.sleep(_OPEN_S)
    down.prompts.clear()
    replies = await clients.many(20, 20)
    probes = len(down.prompts)
    down.delay_s = 0.0
    after = [reply.status for reply in await clients.many(20, 4)]
    answered = sum(reply.status == 200 for reply in replies)
    tell(
        asked,
        "breaker: probes among 20 calls at once to a provider that is well again, and calls answered after it",
        f"{probes} ({answered} answered), then {after.count(200)} of 20",
        "1, then 20 of 20",
        passed=probes == 1 and answered == 1 and after.count(200) == 20,
    )


async def _full_outage(asked: Asked, folder: Path, *, breaker: bool) -> None:
    """Every call fails at the provider: how many more go out than came in."""
    count = 300 if asked.short else 2_000
    down = Provider(delay_s=0.02)
    async with scripted(down.serve) as upstream:
        config = _settings(folder, {"down": upstream.port}, breaker_failures=5 if breaker else 0)
        with serving(folder / "data", "--config", config) as served:
            replies = await _Clients(served).many(count, _AT_ONCE)
    refused = sum(reply.status in (500, 503) for reply in replies)
    ratio = len(down.prompts) / count
    what = "with the breaker" if breaker else "by the retry budget alone"
    tell(
        asked,
        f"full outage: upstream calls for each call, {what}",
        f"{ratio:.2f} ({len(down.prompts):,} for {count:,})",
        "1.2",
        passed=ratio <= 1.2 and refused == count,
    )


async def _flapping(asked: Asked, folder: Path) -> None:
    """Half of what reaches the provider fails: no request is tried more than three times, and most are answered."""
    count = 200 if asked.short else 600
    chance = random.Random(asked.seed)
    down = Provider(is_well=lambda: chance.random() < 0.5)
    async with scripted(down.serve) as upstream:
        config = _settings(folder, {"down": upstream.port}, breaker_failures=0, retries_least=1000)
        with serving(folder / "data", "--config", config) as served:
            replies = await _Clients(served).many(count, _AT_ONCE)
    most = max(Counter(down.prompts).values())
    answered = sum(reply.status == 200 for reply in replies)
    tell(
        asked,
        "flapping provider (half of all attempts fail, no breaker, no budget): most upstream calls for one request",
        f"{most} ({answered} of {count} answered)",
        "3",
        passed=most <= 3 and answered >= count * 0.8,
        is_random=True,
    )


async def _brown_out(asked: Asked, folder: Path) -> None:
    """A provider takes fifty times as long: its calls are waited for and sent once, and another provider's take as long as before."""
    count = 50 if asked.short else 200
    slow, well = (Provider(is_well=lambda: True, delay_s=_BRISK_S) for _ in range(2))
    async with scripted(slow.serve) as one, scripted(well.serve) as other:
        config = _settings(folder, {"slow": one.port, "well": other.port})
        with serving(folder / "data", "--config", config) as served:
            alone, beside, waiting = _Clients(served), _Clients(served), _Clients(served)
            await alone.many(count, 5, "well")
            slow.delay_s = _BRISK_S * _SLOWED
            told = asyncio.create_task(waiting.many(2 * _AT_ONCE, _AT_ONCE, "slow"))
            answered = [reply.status for reply in await beside.many(count, 5, "well")].count(200)
            waited = [reply.status for reply in await told].count(200)
    tell(
        asked,
        f"brown-out (a provider takes {_SLOWED} times as long): calls to it that were answered, and upstream calls for them",
        f"{waited} of {2 * _AT_ONCE}, {len(slow.prompts)}",
        f"all, {2 * _AT_ONCE}",
        passed=waited == len(slow.prompts) == 2 * _AT_ONCE,
    )
    before_ms, meanwhile_ms = (1000 * statistics.median(each.times_s) for each in (alone, beside))
    tell(
        asked,
        "brown-out: calls to another provider that were answered meanwhile, and half of them within",
        f"{answered} of {count}, {meanwhile_ms:.0f} ms ({before_ms:.0f} ms before)",
        "all, twice as long as before at most",
        passed=answered == count and meanwhile_ms <= 2 * before_ms,
    )
