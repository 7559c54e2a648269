"""Writes down, beside the calls, what namespaces that ask for it keep of theirs; and deletes it when its days are over."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from inferway.access.directory import Directory
from inferway.access.envelope import Ring
from inferway.cache.contents import CallHead, Contents, KeptCall
from inferway.errors import CredentialUnavailable, StoreUnavailable
from inferway.pipeline.answer import Answer
from inferway.pipeline.content import content_of, seal_content, weight_of
from inferway.pipeline.recall import microseconds_of, sweep
from inferway.pipeline.request import InferenceRequest
from inferway.usage.records import UsageRecord

_log = logging.getLogger("inferway.pipeline")

_WRITTEN_AT_ONCE = 32
_SWEEP_EVERY_S = 60.0
_TELL_EVERY_S = 30.0


class Terms(Struct, frozen=True, kw_only=True):
    """The largest request and answer that are kept whole, what may wait to be written, and the pause after a failed write."""

    call_max_bytes: int = 256 * 1024
    waiting_max_bytes: int = 64 * 1024 * 1024
    waiting_max: int = 4_096
    retry_s: float = 1.0


class _Waiting(Struct, frozen=True):
    record: UsageRecord
    request: InferenceRequest
    outcome: Answer | BaseException
    weight: int


class Keeping:
    """The queue of one worker. A call never waits for it: what does not fit is dropped, counted and said in the log."""

    def __init__(
        self,
        store: Contents,
        ring: Ring,
        directory: Directory,
        terms: Terms,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._ring, self._directory = store, ring, directory
        self._terms, self._clock = terms, clock
        self._waiting: deque[_Waiting] = deque()
        self._weight = 0
        self._arrived = asyncio.Event()
        self._untold = 0
        self._told_at = float("-inf")
        self.dropped = 0

    def keep(self, record: UsageRecord, request: InferenceRequest, outcome: Answer | BaseException) -> None:
        """See `ContentKeeper`."""
        weight = weight_of(request, outcome)
        is_full = self._weight + weight > self._terms.waiting_max_bytes
        if is_full or len(self._waiting) >= self._terms.waiting_max:
            self._drop(1)
            return
        self._waiting.append(_Waiting(record, request, outcome, weight))
        self._weight += weight
        self._arrived.set()

    async def run(self) -> None:
        """Writes what arrives and deletes what is over; runs until it is cancelled."""
        sweeping = asyncio.create_task(self._run_sweeps())
        try:
            while True:
                await self._arrived.wait()
                try:
                    await self.write()
                except StoreUnavailable:
                    await asyncio.sleep(self._terms.retry_s)
                except Exception:  # noqa: BLE001 - what cannot be written must not stand in the way of the rest
                    _log.exception("requests and answers could not be written")
                    self._discard(min(_WRITTEN_AT_ONCE, len(self._waiting)))
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def write(self) -> None:
        """Writes all that waits. Raises `StoreUnavailable`: then it waits on."""
        while self._waiting:
            batch = [self._waiting[at] for at in range(min(_WRITTEN_AT_ONCE, len(self._waiting)))]
            calls = await asyncio.to_thread(self._sealed, batch)
            await self._store.add(calls)
            self._remove(len(batch))
            self._drop(len(batch) - len(calls))
        self._arrived.clear()

    async def aclose(self) -> None:
        """Calls have ended: writes what can be written, and drops the rest."""
        with contextlib.suppress(StoreUnavailable):
            await self.write()
        self._discard(len(self._waiting))

    async def _run_sweeps(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            with contextlib.suppress(StoreUnavailable):
                await sweep(self._store, self._directory, now=self._clock())

    def _sealed(self, batch: list[_Waiting]) -> list[KeptCall]:
        """What can be sealed of a batch. In a thread: media are hashed, and texts of megabytes are cut."""
        try:
            kek = self._ring.current()
        except CredentialUnavailable:
            return []
        made = []
        for each in batch:
            head = _head(each.record)
            try:
                content = content_of(each.request, each.outcome, self._terms.call_max_bytes)
            except Exception:  # noqa: BLE001 - a defect here costs one copy and not the queue
                _log.exception("what request %s said could not be kept", each.record.request_id)
                continue
            made.append(KeptCall(head=head, sealed=seal_content(kek, head, content)))
        return made

    def _remove(self, count: int) -> None:
        for _ in range(count):
            self._weight -= self._waiting.popleft().weight

    def _discard(self, count: int) -> None:
        self._remove(count)
        self._drop(count)

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._untold += count
        if self._untold and time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self._told_at = time.monotonic()
            _log.warning("the requests and answers of %d calls were not kept", self._untold)
            self._untold = 0


def _head(record: UsageRecord) -> CallHead:
    return CallHead(
        record_id=record.record_id,
        organization_id=record.organization_id,
        namespace_id=record.namespace_id,
        request_id=record.request_id,
        at_us=microseconds_of(record.started_at),
        operation=record.operation,
        provider=record.provider,
        # Some databases hold no NUL in a text, and callers name models.
        model=record.model.replace("\0", "\ufffd"),
        status=record.status,
    )
