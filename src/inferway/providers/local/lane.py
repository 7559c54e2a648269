"""The queue of one model and the engine that works it off: loading, batching, unloading, restarting."""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from inferway.errors import EngineFailed, GatewayError, ModelWarming, Overloaded, Unavailable
from inferway.providers.local.catalogue import LocalModel
from inferway.providers.local.engine import Engine, EngineDied, EngineUnusable, Limits, Ticket

log = logging.getLogger(__name__)

_LOAD_MAX_S = 300.0
_BACKOFF_MAX_S = 30.0
_LOOK_AGAIN_S = 0.1
_MB = 1024 * 1024
LaneState = Literal["cold", "loading", "ready", "backing_off"]


class PoolSettings(Struct, frozen=True, kw_only=True):
    """Bounds of a pool. `queue` counts tasks that wait for one model; `window_s` is how long a batch gathers; `threads` 0 is one a core."""

    memory_mb: int = 2048
    cold_wait_s: float = 25.0
    idle_s: float = 900.0
    threads: int = 0
    queue: int = 64
    window_s: float = 0.003


class LaneStatus(Struct, frozen=True, kw_only=True):
    """What a model is doing in the pool. `memory_mb` is measured; `load_s` too, or the catalogue's before the first load."""

    model: str
    state: LaneState
    queued: int
    running: int
    memory_mb: int
    load_s: float
    restarts: int


class Files(Protocol):
    """Tells a lane about its model's files; see the pool."""

    async def find_obstacle(self, model: LocalModel) -> GatewayError | None: ...


class Room(Protocol):
    """Hands out memory among the lanes; see the pool."""

    async def reserve(self, lane: "Lane") -> None: ...

    def used(self, lane: "Lane") -> None: ...


StartEngine = Callable[[LocalModel], Engine]


class Lane:
    """One model. All its state is touched by one event loop only."""

    def __init__(
        self, model: LocalModel, settings: PoolSettings, start: StartEngine, files: Files, room: Room
    ) -> None:
        self.model = model
        self.used_at = 0.0
        self.served = 0
        self._settings = settings
        self._start = start
        self._files = files
        self._room = room
        self._queue: deque[Ticket] = deque()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._engine: Engine | None = None
        self._limits = Limits(load_s=model.load_s)
        self._slots = asyncio.Semaphore(1)
        self._running: set[asyncio.Task[None]] = set()
        self._loading_since: float | None = None
        self._draining = False
        self._crashes = 0
        self._restarts = 0
        self._not_before = 0.0
        self._run_s = 0.0
        self._closing = False
        self._worker = asyncio.create_task(self._work(), name=f"lane {model.id}")

    @property
    def ready(self) -> bool:
        """Whether a task would find a loaded engine."""
        return self._engine is not None and not self._draining and not self._engine.died.is_set()

    @property
    def loaded(self) -> bool:
        """Whether there is an engine that could be unloaded."""
        return self._engine is not None

    @property
    def busy(self) -> bool:
        """Whether something runs or waits."""
        return bool(self._running or self._queue)

    def memory_bytes(self) -> int:
        """What this lane takes: what is measured, and never less than the catalogue says its runs need at their peak."""
        if self._engine is None and self._loading_since is None:
            return 0
        return max(self._engine.memory_bytes() if self._engine else 0, self.model.memory_mb * _MB)

    def status(self) -> LaneStatus:
        """A picture of this moment."""
        return LaneStatus(
            model=self.model.id,
            state=self._state(),
            queued=len(self._queue),
            running=len(self._running),
            memory_mb=(self._engine.memory_bytes() if self._engine is not None else 0) // _MB,
            load_s=round(self._limits.load_s, 3),
            restarts=self._restarts,
        )

    def submit(self, ticket: Ticket) -> None:
        """Queues a task; raises `Overloaded` when too many wait already."""
        if len(self._queue) >= self._settings.queue:
            wait_s = max(1.0, math.ceil(self._queue_s()))
            raise Overloaded(f"too many calls wait for the local model {self.model.id}", retry_after_s=wait_s)
        self._queue.append(ticket)
        if self.ready:
            ticket.started.set()
        self._wake.set()

    def withdraw(self, ticket: Ticket) -> None:
        """The caller has left: forgets a waiting task, stops a running one."""
        ticket.leave()
        with contextlib.suppress(ValueError):
            self._queue.remove(ticket)

    def warming(self) -> ModelWarming:
        """The honest answer to a caller who has waited long enough."""
        wait_s = max(1.0, math.ceil(self._remaining_load_s()))
        return ModelWarming(f"the local model {self.model.id} is still loading", retry_after_s=wait_s)

    async def evict(self) -> None:
        """Lets running tasks end, then unloads; waiting ones go on waiting."""
        self._draining = True
        try:
            await self._quiet.wait()
            await self._unload("to make room")
        finally:
            self._draining = False
            self._wake.set()

    async def aclose(self) -> None:
        """Ends the engine; tasks that wait or run get a 503."""
        self._closing = True
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        self._fail_queue(_stopping())
        await self._unload("to stop")
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            try:
                await self._step()
            except (
                Exception
            ):  # the outermost layer of a background task: a defect must not end a model for good
                log.exception("lane of %s", self.model.id)
                self._fail_queue(EngineFailed("the local engine failed", retryable=False))
                await asyncio.sleep(1.0)

    async def _step(self) -> None:
        if not await self._find_work():
            return
        if self._engine is not None and self._engine.died.is_set():
            await self._unload("because it died while idle")
        if self._engine is None and not await self._load():
            return
        await self._slots.acquire()
        if self._limits.batch > 1 and self._settings.window_s:
            await asyncio.sleep(self._settings.window_s)
        engine = self._engine
        batch = self._take() if engine is not None and not self._draining else []
        if engine is None or not batch:
            self._slots.release()
            return
        task = asyncio.create_task(self._run(engine, self._slots, batch))
        self._running.add(task)
        self._quiet.clear()

    async def _find_work(self) -> bool:
        """Waits for a task; unloads the engine when none comes for long."""
        if self._queue and not self._draining:
            return True
        self._wake.clear()
        try:
            async with asyncio.timeout(self._settings.idle_s if self._engine is not None else None):
                await self._wake.wait()
        except TimeoutError:
            if not self.busy and not self._draining:
                await self._unload("because nobody used it")
        return bool(self._queue) and not self._draining

    def _take(self) -> list[Ticket]:
        """The next batch; a task under which an engine died before runs alone, so that it can hurt nobody else."""
        batch: list[Ticket] = []
        weight = 0
        while self._queue:
            ticket = self._queue[0]
            if ticket.gone or ticket.done:
                self._queue.popleft()
                continue
            if batch and (
                weight + ticket.task.weight > self._limits.batch or ticket.attempts or batch[0].attempts
            ):
                break
            batch.append(self._queue.popleft())
            weight += ticket.task.weight
        return batch

    async def _run(self, engine: Engine, slots: asyncio.Semaphore, batch: list[Ticket]) -> None:
        began = time.monotonic()
        try:
            await engine.run(batch)
        except EngineDied:
            await self._bury(engine, batch)
        except Exception:
            # A defect: without a word, whoever waits would do so until their time is up.
            log.exception("a batch of %s could not be run", self.model.id)
            for ticket in batch:
                ticket.put(EngineFailed("the local engine could not be asked", retryable=False))
        else:
            self._crashes = 0
            self.served += 1
            self._run_s = (
                0.8 * self._run_s + 0.2 * (time.monotonic() - began)
                if self._run_s
                else time.monotonic() - began
            )
        finally:
            self.used_at = time.monotonic()
            slots.release()
            self._running.discard(asyncio.current_task())
            if not self._running:
                self._quiet.set()
            self._wake.set()
            self._room.used(self)

    async def _bury(self, engine: Engine, batch: list[Ticket]) -> None:
        """After a death: tasks that nobody has seen an answer of are tried once more, the others end honestly."""
        for ticket in reversed(batch):
            if ticket.done or ticket.gone:
                continue
            if self._closing:
                ticket.put(_stopping())
                continue
            if ticket.streamed or ticket.attempts:
                ticket.put(EngineFailed("the local engine died under this call", retryable=False))
                continue
            ticket.attempts += 1
            self._queue.appendleft(ticket)
        if self._engine is engine and not self._closing:
            self._back_off()
            self._restarts += 1
            log.warning("the engine of %s died (%d in a row)", self.model.id, self._crashes)
            await self._unload("after its death")

    def _back_off(self) -> None:
        """The first restart is at once, then the pauses double."""
        self._crashes += 1
        pause_s = min(_BACKOFF_MAX_S, 0.5 * 2 ** (self._crashes - 2)) if self._crashes > 1 else 0.0
        self._not_before = time.monotonic() + pause_s

    async def _load(self) -> bool:
        if not await self._clear_the_way():
            return False
        self._loading_since = time.monotonic()
        engine = self._start(self.model)
        try:
            async with asyncio.timeout(_LOAD_MAX_S):
                limits = await engine.load()
        except (EngineUnusable, TimeoutError) as error:
            await engine.close()
            self._back_off()
            self._fail_queue(self._unusable(error))
            return False
        except BaseException:
            await engine.close()
            raise
        finally:
            self._loading_since = None
        self._engine, self._limits, self.served = engine, limits, 0
        self._slots = asyncio.Semaphore(limits.concurrency)
        self.used_at = time.monotonic()
        for ticket in self._queue:
            ticket.started.set()
        log.info("loaded %s in %.2f s, %d MB", self.model.id, limits.load_s, engine.memory_bytes() // _MB)
        return True

    async def _clear_the_way(self) -> bool:
        """Backs off after a crash, waits for a pull, makes room in memory; False when nobody waits any more or nothing can be done."""
        while (pause_s := self._not_before - time.monotonic()) > 0:
            if not await self._pause(pause_s):
                return False
        while (obstacle := await self._files.find_obstacle(self.model)) is not None:
            if not isinstance(obstacle, ModelWarming):
                self._fail_queue(obstacle)
                return False
            if not await self._pause(_LOOK_AGAIN_S):
                return False
        try:
            await self._room.reserve(self)
        except GatewayError as error:
            self._fail_queue(error)
            return False
        return True

    async def _pause(self, pause_s: float) -> bool:
        """A short wait; False when nobody is left who waits for the outcome."""
        await asyncio.sleep(min(_LOOK_AGAIN_S, pause_s))
        return any(not ticket.gone for ticket in self._queue)

    def _unusable(self, error: EngineUnusable | TimeoutError) -> GatewayError:
        if isinstance(error, TimeoutError):
            return EngineFailed(f"the local model {self.model.id} did not load in time", retryable=False)
        log.error("cannot load %s: %s", self.model.id, error.fault.message)
        message = f"the local model {self.model.id} cannot run: {error.fault.message}"
        if error.permanent:
            return Unavailable(message, code=error.fault.code, retry_after_s=60.0)
        return EngineFailed(message, code=error.fault.code, retryable=False)

    async def _unload(self, why: str) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            log.info("unloaded %s %s", self.model.id, why)
            await engine.close()

    def _fail_queue(self, error: GatewayError) -> None:
        while self._queue:
            self._queue.popleft().put(error)

    def _state(self) -> LaneState:
        if self.ready:
            return "ready"
        if self._loading_since is not None:
            return "loading"
        return "backing_off" if self._not_before > time.monotonic() else "cold"

    def _remaining_load_s(self) -> float:
        pause_s = max(0.0, self._not_before - time.monotonic())
        expected_s = max(0.5, self._limits.load_s)
        if self._loading_since is None:
            return pause_s + expected_s
        elapsed_s = time.monotonic() - self._loading_since
        # A load that takes longer than it ever did is expected to take half as long again.
        return expected_s - elapsed_s if elapsed_s < expected_s else elapsed_s / 2

    def _queue_s(self) -> float:
        return (len(self._queue) + len(self._running)) * (self._run_s or 0.1) / self._limits.concurrency


def _stopping() -> GatewayError:
    return Unavailable("the server is stopping", code="stopping", retry_after_s=1.0)
