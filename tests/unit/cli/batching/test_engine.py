"""Calls side by side, and what is in memory meanwhile."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from inferway.cli.batching.calling import Caller
from inferway.cli.batching.engine import Engine
from inferway.cli.batching.lines import Line
from inferway.cli.batching.output import Done
from inferway.cli.batching.tally import Tally
from inferway.client.errors import ConnectionFailed, InferwayError
from inferway.client.requests import Patience
from inferway.errors import OperatorError

GOOD = {"data": {"completions": []}, "provider": "p", "model": "m", "latency_ms": 1.0}


class World:
    """An input of so many lines, a server, and an output; counts what is read and under way at any time."""

    def __init__(self, count: int, error: InferwayError | None = None) -> None:
        self.count, self.error = count, error
        self.read = self.answered = self.running = self.most_running = self.most_ahead = 0

    async def lines(self) -> AsyncIterator[Line]:
        for number in range(1, self.count + 1):
            self.read += 1
            self.most_ahead = max(self.most_ahead, self.read - self.answered)
            yield Line(number=number, text=b'{"inputs": {"prompts": ["number %d"]}}' % number)

    async def infer(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        assert body["inputs"]["prompts"]
        assert idempotency_key
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        if self.error is not None and self.answered > 10:
            raise self.error
        return GOOD

    def write(self, text: bytes) -> None:
        assert text.endswith(b"\n")
        self.answered += 1

    async def work(self, concurrency: int, done: Done | None = None) -> tuple[Tally, str | None]:
        tally = Tally(self.count)
        caller = Caller(self, "run", Patience(retries=0), 0.0)
        engine = Engine(self.lines(), done or Done(), caller, self, tally)
        return tally, await engine.run(concurrency)


async def test_calls_run_side_by_side_and_no_line_is_read_before_somebody_is_free() -> None:
    world = World(200)
    tally, reason = await world.work(16)
    assert (tally.answered, reason) == (200, None)
    assert world.most_running == 16
    assert world.most_ahead <= 16


async def test_memory_does_not_grow_with_the_input() -> None:
    async def peak(count: int) -> int:
        tracemalloc.start()
        try:
            await World(count).work(8)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await World(100).work(8)
    few, many = await peak(500), await peak(3_000)
    assert many < few + 64 * 1024


async def test_what_is_done_is_passed_over() -> None:
    world, done = World(5), Done()
    async for line in World(5).lines():
        if line.number != 3:
            done.add(line.number, line.sum)
    tally, _ = await world.work(2, done)
    assert tally.answered == 1


async def test_a_server_that_goes_away_ends_the_run_with_the_reason() -> None:
    world = World(1_000, ConnectionFailed("no server answers", sent=False))
    tally, reason = await world.work(8)
    assert reason is not None
    assert reason.startswith("no server answers")
    assert tally.failed == 0
    assert world.read < 100


async def test_an_output_that_cannot_be_written_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1_000)

    def write(text: bytes) -> None:
        raise OperatorError("no space left on device")

    monkeypatch.setattr(world, "write", write)
    with pytest.raises(OperatorError, match="no space left"):
        await world.work(8)
