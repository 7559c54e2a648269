"""A second call beside a slow one: whichever answers first is the answer, the other is cancelled and paid for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from inferway.pipeline.journey import Journey, Spent
from inferway.resilience.lines import Line
from inferway.types import Result


class Race:
    """Two attempts of one call, side by side; once it is decided the one that still runs has lost.

    `won` is what the winner spent, `lost_at` the loser's place in the journey, which other calls of the request share.
    """

    __slots__ = ("is_decided", "lost_at", "won")

    def __init__(self) -> None:
        self.is_decided = False
        self.won: Spent | None = None
        self.lost_at: int | None = None


Start = Callable[[Race], Coroutine[Any, Any, Result]]


async def hedged(start: Start, line: Line, after_s: float, journey: Journey) -> Result:
    """The answer of an attempt, or of a second one that goes out when the first takes longer than `after_s` seconds.

    A second one needs a place in the retry budget and in the quota of second calls, and a provider that did not fail lately. What the
    loser used is not known: a provider may go on and bill it, so as much as the winner used is counted, marked as an estimate. Raises what
    the first attempt raised when both fail.
    """
    line.hedges.count()
    race = Race()
    tasks = [asyncio.create_task(start(race))]
    is_second = False
    try:
        await asyncio.wait(tasks, timeout=after_s)
        is_second = not tasks[0].done() and _may_go_out(line)
        if is_second:
            tasks.append(asyncio.create_task(start(race)))
        result = await _first_good(tasks)
        race.is_decided = True
        return result
    finally:
        lost = [task for task in tasks if not task.done()]
        for task in lost:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if is_second:
            line.budget.give_back()
        if race.lost_at is not None and race.won is not None:
            _count_loser(journey, race.won, race.lost_at)


def _may_go_out(line: Line) -> bool:
    circuit = line.circuit
    if circuit is not None and circuit.cells[circuit.mark]:
        return False
    if not line.budget.take():
        return False
    if line.hedges.take():
        return True
    line.budget.give_back()
    return False


async def _first_good(tasks: list[asyncio.Task[Result]]) -> Result:
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and task.exception() is None:
                return task.result()
    return tasks[0].result()


def _count_loser(journey: Journey, won: Spent, lost_at: int) -> None:
    """Put down what the loser may have cost, before what the winner did: the last that was spent is the answer's."""
    lost = replace(won, usage=replace(won.usage, source="estimated", raw=None), attempt=lost_at)
    place = next(at for at, each in enumerate(journey.spent) if each is won)
    journey.spent.insert(place, lost)
    journey.warnings["a second call went out beside a slow one: what the cancelled one used is estimated"] = (
        None
    )
