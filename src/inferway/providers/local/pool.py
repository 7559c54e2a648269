"""The engine pool: one lane for each model, memory shared among them, files looked after."""

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Protocol

from inferway.errors import BadRequest, EngineFailed, GatewayError, ModelWarming
from inferway.providers.local.catalogue import Catalogue, LocalModel
from inferway.providers.local.engine import Delta, Engine, Output, Spec, Task, Ticket
from inferway.providers.local.lane import Lane, LaneStatus, PoolSettings, StartEngine
from inferway.providers.local.process import ProcessEngine
from inferway.providers.local.pull import OnNote, PullFailed, PullOptions, PullReport, pull_defaults
from inferway.providers.local.shelf import Shelf

log = logging.getLogger(__name__)

_MB = 1024 * 1024
_LOOK_AGAIN_S = 0.05


class EnginePool(Protocol):
    """Runs tasks on models by id. There is one pool on a machine; workers reach it through `RemoteEnginePool`.

    `wait_s` is how long the caller can wait for a cold model, if that is less than the pool's own bound.
    `stream` yields deltas and last the output; leaving it early stops the work. It raises `ModelWarming` when the model is not loaded
    within the cold wait, `Overloaded` when the queue is full, `BadRequest` for a task or a model that cannot be served,
    `EngineFailed` when the engine failed, `Unavailable` when its package is not installed.
    """

    def stream(
        self, model: str, task: Task, wait_s: float | None = None
    ) -> AsyncGenerator[Delta | Output, None]: ...

    async def run(self, model: str, task: Task, wait_s: float | None = None) -> Output: ...

    async def status(self) -> tuple[LaneStatus, ...]: ...

    async def aclose(self) -> None: ...


def process_engines(
    shelf: Shelf,
    settings: PoolSettings,
    *,
    python: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> StartEngine:
    """Starts each model's engine in a child process; another function of this shape runs them elsewhere."""

    def start(model: LocalModel) -> Engine:
        spec = Spec(
            engine=model.engine,
            folder=shelf.folder_of(model),
            threads=settings.threads,
            context_length=model.context_length,
            options=model.options,
        )
        return ProcessEngine(spec, python=python, environment=environment)

    return start


class LocalEnginePool:
    """The pool itself; lives in one process and one event loop."""

    def __init__(
        self,
        catalogue: Catalogue,
        shelf: Shelf,
        settings: PoolSettings | None = None,
        start: StartEngine | None = None,
    ) -> None:
        self.settings = settings or PoolSettings()
        self._catalogue = catalogue
        self._shelf = shelf
        self._start = start or process_engines(shelf, self.settings)
        self._lanes: dict[str, Lane] = {}
        self._reserving = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_pulls = threading.Event()
        self._pulling_defaults = False

    async def stream(
        self, model: str, task: Task, wait_s: float | None = None
    ) -> AsyncGenerator[Delta | Output, None]:
        """See `EnginePool`."""
        lane = self._lane(self._catalogue.require_model(model))
        ticket = Ticket(task)
        lane.submit(ticket)
        try:
            await self._await_start(lane, ticket, wait_s)
            async with contextlib.aclosing(ticket.events()) as events:
                async for event in events:
                    yield event
        finally:
            lane.withdraw(ticket)

    async def run(self, model: str, task: Task, wait_s: float | None = None) -> Output:
        """The output of a task, without its deltas."""
        return await last(self.stream(model, task, wait_s))

    async def status(self) -> tuple[LaneStatus, ...]:
        """Every model that has been used since the start."""
        return tuple(lane.status() for lane in self._lanes.values())

    async def pull_defaults(self, on_note: OnNote | None = None) -> tuple[PullReport | PullFailed, ...]:
        """Pulls the default models in the background; meanwhile calls for them are told that they are warming."""
        self._pulling_defaults = True
        options = PullOptions(on_note=on_note or log.warning, stop=self._stop_pulls)
        try:
            return await asyncio.to_thread(pull_defaults, self._catalogue, self._shelf, options)
        finally:
            self._pulling_defaults = False

    async def aclose(self) -> None:
        """Stops pulls and ends all engines."""
        self._stop_pulls.set()
        await asyncio.gather(*(lane.aclose() for lane in self._lanes.values()))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def find_obstacle(self, model: LocalModel) -> GatewayError | None:
        """What keeps a model's files from being used: `ModelWarming` while they come, `BadRequest` when somebody must fetch them."""
        return await asyncio.to_thread(self._find_obstacle, model)

    async def reserve(self, lane: Lane) -> None:
        """Returns when there is memory for a lane's engine, unloading the models that were used longest ago."""
        need = lane.model.memory_mb * _MB
        bound = self.settings.memory_mb * _MB
        if need > bound:
            raise EngineFailed(
                f"the local model {lane.model.id} needs about {lane.model.memory_mb} MB; local.memory_mb allows"
                f" {self.settings.memory_mb}",
                code="memory_bound",
                retryable=False,
            )
        async with self._reserving:
            while self._taken(lane) + need > bound:
                victim = self._find_victim(lane)
                if victim is None:
                    await asyncio.sleep(_LOOK_AGAIN_S)
                else:
                    await victim.evict()

    def used(self, lane: Lane) -> None:
        """After each run: an engine may have grown beyond what is allowed to all of them."""
        if self._taken(None) > self.settings.memory_mb * _MB and not self._reserving.locked():
            task = asyncio.create_task(self._shrink(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _shrink(self, keep: Lane) -> None:
        async with self._reserving:
            while self._taken(None) > self.settings.memory_mb * _MB:
                victim = self._find_victim(keep)
                if victim is None or victim.busy:
                    return
                await victim.evict()

    def _lane(self, model: LocalModel) -> Lane:
        lane = self._lanes.get(model.id)
        if lane is None:
            lane = self._lanes[model.id] = Lane(model, self.settings, self._start, self, self)
        return lane

    async def _await_start(self, lane: Lane, ticket: Ticket, wait_s: float | None) -> None:
        bound_s = self.settings.cold_wait_s
        try:
            async with asyncio.timeout(bound_s if wait_s is None else min(bound_s, wait_s)):
                await ticket.started.wait()
        except TimeoutError:
            obstacle = await self.find_obstacle(lane.model) if not lane.loaded else None
            raise obstacle or lane.warming() from None

    def _find_obstacle(self, model: LocalModel) -> GatewayError | None:
        state = self._shelf.state(model)
        if state == "pulled" and self._shelf.is_intact(model):
            return None
        pull = self._shelf.find_pull(model)
        if pull is not None or (self._pulling_defaults and model.default and state != "pulled"):
            wait_s = max(1.0, math.ceil((pull.remaining_s() if pull else 10.0) + model.load_s))
            return ModelWarming(f"the local model {model.id} is being downloaded", retry_after_s=wait_s)
        what = "is not pulled" if state == "missing" else "has a file that is not the catalogue's"
        return BadRequest(
            f"the local model {model.id} {what}: run `inferway models pull {model.id}`",
            code="model_not_pulled",
            details={"provider": "local", "model": model.id},
        )

    def _taken(self, without: Lane | None) -> int:
        return sum(lane.memory_bytes() for lane in self._lanes.values() if lane is not without)

    def _find_victim(self, keep: Lane) -> Lane | None:
        """The lane used longest ago, idle ones first; one that has not served its first batch yet is left alone."""
        able = [lane for lane in self._lanes.values() if lane is not keep and lane.loaded]
        able = [lane for lane in able if lane.served or not lane.busy]
        return min(able, key=lambda lane: (lane.busy, lane.used_at), default=None)


async def last(events: AsyncIterator[Delta | Output]) -> Output:
    """The output at the end of a stream."""
    output: Output | None = None
    async for event in events:
        if not isinstance(event, Delta):
            output = event
    if output is None:
        raise EngineFailed("the local engine gave no answer", retryable=False)
    return output
