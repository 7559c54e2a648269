"""`Idempotency-Key`: a call that is sent several times runs once, and is answered alike each time."""

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

import msgspec
from cryptography.exceptions import InvalidTag
from msgspec import Struct
from msgspec.structs import replace

from inferway.access.envelope import Envelope, Kek, Ring, open_value, rewrap_value, seal_value
from inferway.access.records import Caller
from inferway.cache.kept import KeptAnswers, NoRoom, Room, Row, Sealed
from inferway.errors import (
    BadRequest,
    CredentialUnavailable,
    InvalidShape,
    StoreUnavailable,
    TooManyRequests,
    Unavailable,
)
from inferway.pipeline.ports import Ledger, Observer
from inferway.pipeline.request import InferenceRequest
from inferway.providers.base import Timing
from inferway.types import Deadline, Usage
from inferway.usage.records import UsageRecord, new_record_id

_log = logging.getLogger("inferway.pipeline")

_KEY = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.5
_LEAST_S = 1.0
"""Who has waited and has less time left than this begins no call of its own: it would be paid for and hardly be answered in time."""
_HINT_S = 2.0
_FULL_HINT_S = 60.0
_SWEEP_EVERY_S = 30.0
_LEAP_US = 1_000_000
"""More than clocks drift between two looks."""
_SWEPT_AT_ONCE = 200
_RESEALED_AT_ONCE = 50
_UNSAVED_MAX_BYTES = 64 * 1024 * 1024
_THREAD_ABOVE_BYTES = 1024 * 1024


class Kept(Struct, frozen=True, kw_only=True):
    """An answer that was given: the JSON body, and who gave it."""

    operation: str
    provider: str
    model: str
    body: bytes


class Terms(Struct, frozen=True, kw_only=True):
    """How long answers are kept, how long a call that was not heard of blocks its key, the largest answer, and the room."""

    keep_s: float = 86_400.0
    lease_s: float = 15.0
    answer_max_bytes: int = 16 * 1024 * 1024
    room: Room = Room(keys=1_000_000, bytes=1024 * 1024 * 1024)


def read_key(given: bytes) -> bytes:
    """An Idempotency-Key that can be used: 1 to 255 visible ASCII characters; raises `BadRequest`."""
    key = given.strip(b" \t")
    if not _KEY.fullmatch(key):
        raise BadRequest(
            "an Idempotency-Key has 1 to 255 visible ASCII characters", code="idempotency_key_invalid"
        )
    return key


def with_time(request: InferenceRequest, deadline: Deadline) -> InferenceRequest:
    """The request with the time that it has left: it may have waited."""
    left_s = max(deadline.remaining_s(), 0.001)
    return replace(request, parameters=replace(request.parameters, timeout_s=left_s))


class _LeaseClock:
    """The time at which leases are looked at; `wall_us` is the machine's, `steady_us` never leaps.

    When the machine's clock leaps ahead, or the machine slept, the leases of calls that run look over until they are renewed: for as long
    as a lease this time stays behind by the leap, so that no call is made a second time.
    """

    def __init__(self, wall_us: Callable[[], int], steady_us: Callable[[], int], lease_s: float) -> None:
        self._wall_us, self._steady_us = wall_us, steady_us
        self._lease_us = round(lease_s * 1_000_000)
        self._ahead_us = wall_us() - steady_us()
        self._behind_us = 0
        self._until_us = 0

    def __call__(self) -> int:
        """Microseconds since 1970."""
        wall, steady = self._wall_us(), self._steady_us()
        leapt, self._ahead_us = wall - steady - self._ahead_us, wall - steady
        if steady >= self._until_us:
            self._behind_us = 0
        if leapt > _LEAP_US:
            self._behind_us += leapt
            self._until_us = steady + self._lease_us
        return wall - self._behind_us


class Once:
    """Gives each Idempotency-Key of a caller one turn at a time, and keeps the answer.

    A key is the API key's own in its namespace: no other key and no other namespace sees its answer. The store decides who is first, so
    that it holds for all processes and machines that share it. A row of a call that runs is a lease that this process renews.
    """

    def __init__(  # noqa: PLR0913 - its parts, and both clocks
        self,
        store: KeptAnswers,
        ring: Ring,
        ledger: Ledger,
        terms: Terms,
        *,
        observer: Observer | None = None,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        steady_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._store, self._ring, self._ledger = store, ring, ledger
        self._terms, self._clock_us, self._observer = terms, clock_us, observer
        self._now_us = _LeaseClock(clock_us, steady_us, terms.lease_s)
        self._running: dict[tuple[bytes, str], Turn] = {}
        self._unsaved: dict[bytes, Row] = {}
        self._unsaved_bytes = 0

    async def begin(self, caller: Caller, key: bytes, body: bytes, deadline: Deadline) -> "Kept | Turn":
        """The answer that this key has, or the turn to make one. A twin that runs is waited for.

        Raises `InvalidShape` (idempotency_key_reused) for another body, `Unavailable` (idempotency_in_progress) when the twin still runs
        at the deadline, `TooManyRequests` when the namespace keeps as much as it may, and what the store raises.
        """
        place = _digest(caller.organization_id, caller.namespace_id, caller.key_id, key)
        # With the key in it: the key itself is not stored, so that nobody who reads the table can try bodies against this.
        digest = _digest("body", key, _same(body))
        look_s = _FIRST_LOOK_S
        found = await self._claim(caller, place, digest)
        while not isinstance(found, Turn):
            _require_same(found, digest)
            if found.sealed is not None:
                return await _read(self._ring, found, found.sealed)
            if deadline.remaining_s() <= 0:
                raise _in_progress()
            await self._wait(found, min(look_s, deadline.remaining_s()))
            look_s = min(look_s * 1.5, _LONGEST_LOOK_S)
            free = await self._find(place)
            if free is None and deadline.remaining_s() < _LEAST_S:
                raise _in_progress()
            found = free or await self._claim(caller, place, digest)
        return found

    async def settle_replay(
        self, kept: Kept, caller: Caller, request: InferenceRequest, *, request_id: str, timing: Timing
    ) -> None:
        """Records a call that gets the answer of another: it used nothing. Raises `JournalFull`."""
        latency_ms = timing.elapsed_ms()
        record = UsageRecord(
            record_id=new_record_id(),
            request_id=request_id,
            organization_id=caller.organization_id,
            namespace_id=caller.namespace_id,
            key_id=caller.key_id,
            operation=kept.operation,
            provider=kept.provider,
            model=kept.model,
            status="ok",
            started_at=datetime.now(UTC) - timedelta(milliseconds=latency_ms),
            latency_ms=latency_ms,
            upstream_ms=0.0,
            usage=Usage(),
            cost_microusd=0,
            streamed=request.stream,
            cached=True,
            cache_kind="idempotent",
        )
        await self._ledger.settle(record)
        if self._observer is not None:
            self._observer.ended(record, request.parameters)

    async def aclose(self) -> None:
        """Calls have ended: saves what can be saved."""
        with contextlib.suppress(StoreUnavailable):
            await self.tend()

    async def run(self) -> None:
        """Renews leases, saves what the store did not take and deletes what has expired; runs until it is cancelled."""
        clock = asyncio.get_running_loop().time
        sweep_at = clock()
        while True:
            await asyncio.sleep(self._terms.lease_s / 3)
            with contextlib.suppress(StoreUnavailable):
                await self.tend()
                if clock() >= sweep_at:
                    sweep_at = clock() + _SWEEP_EVERY_S
                    await self.sweep()

    async def tend(self) -> None:
        """One round of renewing and saving. Raises `StoreUnavailable`."""
        now_us = self._now_us()  # looked at in each round: a leap is found by what it was before
        if self._running:
            await self._store.renew(list(self._running), expires_us=self._after_us(self._terms.lease_s))
        for place, row in list(self._unsaved.items()):
            await self._store.keep(row, now_us=now_us)
            self._forget(place)

    async def sweep(self) -> int:
        """Deletes expired rows, a few in each transaction; how many. Raises `StoreUnavailable`."""
        gone = 0
        while swept := await self._store.sweep(now_us=self._now_us(), limit=_SWEPT_AT_ONCE):
            gone += swept
        return gone

    async def save(self, turn: "Turn", answer: Kept) -> Kept:
        """Keeps a turn's answer, and returns the one to give: another one that was kept first when the turn's lease had run out."""
        self.end(turn)
        claim = turn.row
        try:
            sealed = await _sealed(self._ring.current(), claim, answer)
        except CredentialUnavailable:
            _log.warning("an answer could not be sealed for its Idempotency-Key: it was not kept")
            return answer
        row = replace(claim, sealed=sealed, expires_us=self._after_us(self._terms.keep_s))
        try:
            other = await self._store.keep(row, now_us=self._now_us())
        except StoreUnavailable:
            self._remember(row)
            return answer
        if other is None or other.sealed is None or not compare_digest(other.digest, row.digest):
            return answer
        return await _read(self._ring, other, other.sealed)

    async def drop(self, turn: "Turn") -> None:
        """Gives the turn up: whoever waits for it, or comes next, gets one."""
        try:
            await self._store.drop(turn.row)
        except StoreUnavailable:
            _log.warning("an Idempotency-Key stays taken until its lease ends: the store is away")
        finally:
            self.end(turn)

    def end(self, turn: "Turn") -> None:
        """The turn's call runs no more."""
        self._running.pop((turn.row.place, turn.row.owner), None)

    def fits(self, body: bytes) -> bool:
        """Whether an answer is small enough to be kept."""
        return len(body) <= self._terms.answer_max_bytes

    async def _find(self, place: bytes) -> Row | None:
        return self._unsaved.get(place) or await self._store.find(place, now_us=self._now_us())

    async def _claim(self, caller: Caller, place: bytes, digest: bytes) -> "Row | Turn":
        unsaved = self._unsaved.get(place)
        if unsaved is not None:
            return unsaved
        self._ring.current()  # what cannot be sealed is refused before it is paid for
        row = Row(
            place=place,
            namespace_id=caller.namespace_id,
            digest=digest,
            owner=secrets.token_hex(16),
            expires_us=self._after_us(self._terms.lease_s),
        )
        turn = Turn(self, row)
        try:
            found = await self._store.claim(row, now_us=self._now_us(), room=self._terms.room)
        except asyncio.CancelledError:
            # It may have been written: the store does what it was asked in the order in which it was asked.
            await self.drop(turn)
            raise
        if found is None:
            self._running[(place, row.owner)] = turn
            return turn
        if isinstance(found, NoRoom):
            raise _full(found)
        return found

    async def _wait(self, row: Row, longest_s: float) -> None:
        """Waits until a call may have ended: at once for one of this process, else for some time."""
        turn = self._running.get((row.place, row.owner))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await (asyncio.sleep(longest_s) if turn is None else turn.ended.wait())

    def _remember(self, row: Row) -> None:
        assert row.sealed is not None  # noqa: S101 - only answers are saved
        size = len(row.sealed.ciphertext)
        if self._unsaved_bytes + size > _UNSAVED_MAX_BYTES:
            _log.warning("the store is away: an answer was not kept for its Idempotency-Key")
            return
        self._unsaved[row.place] = row
        self._unsaved_bytes += size

    def _forget(self, place: bytes) -> None:
        row = self._unsaved.pop(place, None)
        if row is not None and row.sealed is not None:
            self._unsaved_bytes -= len(row.sealed.ciphertext)

    def _after_us(self, seconds: float) -> int:
        return self._clock_us() + round(seconds * 1_000_000)


class Turn:
    """The right to run one call under its key. It is closed in the end, whatever happens."""

    def __init__(self, once: Once, row: Row) -> None:
        self._once = once
        self.row = row
        self.ended = asyncio.Event()
        self._is_over = False

    async def keep(self, answer: Kept) -> Kept:
        """Keeps the answer before it is given, and returns the one to give. One that is too large is given and not kept."""
        if not self._once.fits(answer.body):
            return answer
        self._is_over = True
        try:
            return await self._once.save(self, answer)
        finally:
            self.ended.set()

    async def close(self) -> None:
        """Gives the turn up unless an answer was kept."""
        if not self._is_over:
            self._is_over = True
            await self._once.drop(self)
        self.ended.set()


async def reseal_all(store: KeptAnswers, ring: Ring, new: Kek) -> int:
    """Puts the data keys of all kept answers under another key; how many there were. One that no key opens is left."""
    done, after = 0, b""
    while rows := await store.list_under_other_keys(new.kek_id, after=after, limit=_RESEALED_AT_ONCE):
        fresh = [each for each in (_resealed(row, ring, new) for row in rows) if each is not None]
        await store.reseal(fresh)
        done, after = done + len(fresh), rows[-1].place
    return done


def _resealed(row: Row, ring: Ring, new: Kek) -> Row | None:
    assert row.sealed is not None  # noqa: S101 - only answers are listed
    old = ring.find(row.sealed.kek_id)
    if old is None:
        return None
    try:
        again = rewrap_value(old, new, _envelope(row.sealed), _about(row))
    except (InvalidTag, ValueError):
        return None
    sealed = Sealed(kek_id=again.kek_id, wrapped_key=again.wrapped_key, ciphertext=again.ciphertext)
    return replace(row, sealed=sealed)


async def _sealed(kek: Kek, row: Row, answer: Kept) -> Sealed:
    plain = msgspec.msgpack.encode(answer)
    if len(plain) > _THREAD_ABOVE_BYTES:
        made = await asyncio.to_thread(seal_value, kek, plain, _about(row))
    else:
        made = seal_value(kek, plain, _about(row))
    return Sealed(kek_id=made.kek_id, wrapped_key=made.wrapped_key, ciphertext=made.ciphertext)


async def _read(ring: Ring, row: Row, sealed: Sealed) -> Kept:
    """The answer in a row; raises `Unavailable` when no key opens it, as running the call again would be billed again."""
    kek = ring.find(sealed.kek_id)
    try:
        if kek is None:
            raise _unreadable()
        if len(sealed.ciphertext) > _THREAD_ABOVE_BYTES:
            plain = await asyncio.to_thread(open_value, kek, _envelope(sealed), _about(row))
        else:
            plain = open_value(kek, _envelope(sealed), _about(row))
        return msgspec.msgpack.decode(plain, type=Kept)
    except (InvalidTag, ValueError):
        raise _unreadable() from None


def _envelope(sealed: Sealed) -> Envelope:
    return Envelope(kek_id=sealed.kek_id, wrapped_key=sealed.wrapped_key, ciphertext=sealed.ciphertext)


def _about(row: Row) -> tuple[str, ...]:
    return "kept-answer", row.namespace_id, row.place.hex(), row.digest.hex()


def _digest(*parts: str | bytes) -> bytes:
    """A digest of several parts: their lengths are in it, so that no two lists have the same."""
    found = sha256()
    for part in parts:
        text = part.encode() if isinstance(part, str) else part
        found.update(len(text).to_bytes(8, "big"))
        found.update(text)
    return found.digest()


def _same(body: bytes) -> bytes:
    """What two bodies must have in common to be the same call: their JSON, but for how long the caller would wait."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.ValidationError:
        # A number beyond all that can be held, where nobody reads it: such bodies are the same byte for byte.
        return body
    if isinstance(value.get("parameters"), dict):
        value["parameters"].pop("timeout_s", None)
    if not value.get("parameters"):
        value.pop("parameters", None)
    return msgspec.json.encode(value, order="deterministic")


def _require_same(row: Row, digest: bytes) -> None:
    if compare_digest(row.digest, digest):
        return
    message = "this Idempotency-Key was used for another body; a new call needs a new key"
    finding = {
        "type": "idempotency_key_reused",
        "location": ["header", "idempotency-key"],
        "message": message,
    }
    raise InvalidShape(message, code="idempotency_key_reused", details={"validation_errors": [finding]})


def _in_progress() -> Unavailable:
    return Unavailable(
        "a call with this Idempotency-Key is still running; send it again for its answer",
        code="idempotency_in_progress",
        retry_after_s=_HINT_S,
    )


def _full(found: NoRoom) -> TooManyRequests:
    what = "Idempotency-Keys" if found.of == "keys" else "bytes of answers for Idempotency-Keys"
    return TooManyRequests(
        f"this namespace keeps {found.limit} {what}, which is all it may: wait until the oldest expire",
        code="idempotency_keys_exhausted",
        details={
            "limit": found.limit,
            "window": 0,
            "retry_after": _FULL_HINT_S,
            "retry_after_seconds": _FULL_HINT_S,
            "api_name": "inference",
            "retryable": True,
        },
        retry_after_s=_FULL_HINT_S,
    )


def _unreadable() -> Unavailable:
    return Unavailable(
        "the answer kept for this Idempotency-Key cannot be decrypted; use a new key to run the call again",
        code="idempotency_unreadable",
        retry_after_s=_FULL_HINT_S,
    )
