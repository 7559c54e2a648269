"""The counters of one machine: a table in memory that all its processes share."""

import contextlib
import mmap
import struct
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from inferway.errors import OperatorError
from inferway.limits.bucket import Bucket
from inferway.limits.terms import Rules
from inferway.locks import FileLock, NoLock, Seats, map_file

SEATS = 96
"""Most processes that can count calls in one table."""

_NAME_BYTES = 16
_NOBODY = bytes(_NAME_BYTES)
_RATES = struct.Struct("<qqqq")
"""Owed and since when: calls per minute, then calls per second."""
_PAIR = struct.Struct("<qq")
"""The same of the tokens per minute, which follow."""
_TOKENS_AT = _NAME_BYTES + _RATES.size
_LATEST_AT = (_NAME_BYTES + 8, _NAME_BYTES + 24, _NAME_BYTES + 40)
_MOMENT = struct.Struct("<q")
_KEY_BYTES = _TOKENS_AT + _PAIR.size
_FULL = bytes(_KEY_BYTES - _NAME_BYTES)
_CELL = 4
_ORGANIZATION_BYTES = _NAME_BYTES + SEATS * _CELL
_KEYS_NEAR = 16
_ORGANIZATIONS_NEAR = 64
_REMEMBERED = 20_000
_IDLE_US = 120 * 1_000_000
"""No bucket owes anything after two minutes of rest: then its place is as good as an empty one."""
_SWEEP_US = 1_000_000
_US = 1_000_000
FILE_NAME = "table-1"
"""The number is the layout's: another layout is another file."""


class Refused(Struct, frozen=True, kw_only=True):
    """Which limit has no room, and for how long. `window_s` is 0 for calls at once."""

    limit: int
    window_s: int
    wait_us: int
    full_us: int


class Room(Struct, frozen=True, kw_only=True):
    """What a limit has left, and in how many microseconds it has all of it."""

    limit: int
    window_s: int
    remaining: int
    full_us: int


class Held(Struct, frozen=True, kw_only=True):
    """A call that was let in. `cell` is where its organization's calls at once are counted; None when they are not."""

    cell: int | None


class Lock(Protocol):
    """Keeps other processes away for a moment."""

    def acquire(self) -> bool: ...

    def release(self) -> None: ...

    def close(self) -> None: ...


class Table:
    """Counts calls, tokens and calls at once, for a bounded number of keys and organizations in a bounded memory.

    A key's state is three token buckets. An organization's is one number per process, written by that process alone; the sum counts, and
    the number of a process that died is wiped when somebody needs the room. All times are of the machine's monotonic clock, which all
    processes read alike.
    """

    def __init__(  # noqa: PLR0913 - the outside parts, each of which a test replaces
        self,
        memory: mmap.mmap | bytearray,
        *,
        lock: Lock,
        seat: int = 0,
        seats: Seats | None = None,
        keys: int = 65_536,
        organizations: int = 4_096,
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._memory = memory
        self._lock, self._seat, self._seats, self._clock_us = lock, seat, seats, clock_us
        self._keys, self._organizations = keys, organizations
        self._organizations_at = _keys_bytes(keys)
        self._cells = memoryview(memory).cast("I")
        self._seats_cell = _bytes_of(keys, organizations) // _CELL - 1
        self._key_places: dict[str, tuple[bytes, int]] = {}
        self._organization_places: dict[str, tuple[bytes, int]] = {}
        self._swept_at_us = -_SWEEP_US

    @classmethod
    def in_memory(
        cls, clock_us: Callable[[], int], *, keys: int = 1_024, organizations: int = 256
    ) -> "Table":
        """A table of this process alone."""
        memory = bytearray(_bytes_of(keys, organizations))
        table = cls(memory, lock=NoLock(), keys=keys, organizations=organizations, clock_us=clock_us)
        table.sit()
        return table

    @classmethod
    def open(cls, folder: Path) -> "Table":
        """The table that all processes share that name this folder; raises `OperatorError` when it cannot be used."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            memory = map_file(folder / FILE_NAME, _bytes_of(65_536, 4_096))
            lock = FileLock(folder / "lock")
            seats = Seats(folder, SEATS)
            seat = seats.take()
        except OSError as error:
            raise OperatorError(f"{folder}: the limits cannot be counted here: {error.strerror}.") from None
        if seat is None:
            raise OperatorError(f"{folder}: {SEATS} processes count their limits here already.")
        table = cls(memory, lock=lock, seat=seat, seats=seats)
        table.sit()
        return table

    def enter(self, key_id: str, organization_id: str, rules: Rules) -> Held | Refused:
        """Let one call in, or say which limit has no room for it; a refused call takes nothing."""
        # As `_is_shared`, which would be one call more.
        if self._cells[self._seats_cell] <= 1 or not self._lock.acquire():
            return self._enter(key_id, organization_id, rules)
        try:
            return self._enter(key_id, organization_id, rules)
        finally:
            self._lock.release()

    def leave(self, cell: int | None) -> None:
        """One call of this process has ended."""
        if cell is not None and self._cells[cell]:
            self._cells[cell] -= 1

    def room(self, key_id: str, rules: Rules) -> Room | None:
        """What a key's limits have left now; None when there are none."""
        minute, second = rules.minute, rules.second
        if minute is None and second is None:
            return None
        now = self._clock_us()
        at = self._key_at(key_id, now) + _NAME_BYTES
        by_minute, since_minute, by_second, since_second = _RATES.unpack_from(self._memory, at)
        if minute is not None:
            by_minute = minute.owed(by_minute, since_minute, now)
        # What was owed then is at least what is owed now: most of the time that says enough.
        if second is not None and (minute is None or by_second > second.brim):
            by_second = second.owed(by_second, since_second, now)
        return room_of(minute, by_minute, second, by_second)

    def take_tokens(self, key_id: str, bucket: Bucket, tokens: int) -> Refused | None:
        """Take tokens for a call, or say that there are too few. More than the bucket holds are asked of a full one."""
        is_locked = self._is_shared() and self._lock.acquire()
        try:
            now = self._clock_us()
            at = self._key_at(key_id, now) + _TOKENS_AT
            debt, since = _PAIR.unpack_from(self._memory, at)
            owed = bucket.owed(debt, since, now)
            asked = min(tokens, bucket.capacity)
            if bucket.wait_us(owed, asked):
                return refused_by(bucket, owed, asked)
            _PAIR.pack_into(self._memory, at, _capped(bucket, owed + tokens * bucket.unit), now)
            return None
        finally:
            if is_locked:
                self._lock.release()

    def correct_tokens(self, key_id: str, bucket: Bucket, tokens: int) -> None:
        """Take more tokens after the call, or give some back (below 0)."""
        if not tokens:
            return
        is_locked = self._is_shared() and self._lock.acquire()
        try:
            now = self._clock_us()
            at = self._key_at(key_id, now) + _TOKENS_AT
            debt, since = _PAIR.unpack_from(self._memory, at)
            owed = bucket.owed(debt, since, now) + tokens * bucket.unit
            _PAIR.pack_into(self._memory, at, _capped(bucket, max(0, owed)), now)
        finally:
            if is_locked:
                self._lock.release()

    def sit(self) -> None:
        """Begin to count at this process's place: whoever had it before is gone."""
        is_locked = self._lock.acquire()
        self._cells[self._seats_cell] = max(self._cells[self._seats_cell], self._seat + 1)
        if is_locked:
            self._lock.release()
        self._wipe()

    def _is_shared(self) -> bool:
        """Whether another process may count here. Each says so long before its first call; the lock costs two system calls."""
        return self._cells[self._seats_cell] > 1

    def _wipe(self) -> None:
        first = (self._organizations_at + _NAME_BYTES) // _CELL + self._seat
        step = _ORGANIZATION_BYTES // _CELL
        for cell in range(first, first + self._organizations * step, step):
            if self._cells[cell]:
                self._cells[cell] = 0

    def close(self) -> None:
        """Leave the table; what this process counted as running is over."""
        self._wipe()
        self._cells.release()
        if self._seats is not None:
            self._seats.leave()
        self._lock.close()
        if isinstance(self._memory, mmap.mmap):
            with contextlib.suppress(BufferError):
                self._memory.close()

    def _enter(self, key_id: str, organization_id: str, rules: Rules) -> Held | Refused:
        now = self._clock_us()
        minute, second = rules.minute, rules.second
        if minute is None and second is None:
            return self._enter_organization(organization_id, rules.concurrent, now)
        at = self._key_at(key_id, now) + _NAME_BYTES
        by_minute, since_minute, by_second, since_second = _RATES.unpack_from(self._memory, at)
        refused = None
        if minute is not None:
            by_minute = minute.owed(by_minute, since_minute, now)
            if by_minute > minute.brim:
                refused = refused_by(minute, by_minute)
            by_minute += minute.unit
        if second is not None:
            by_second = second.owed(by_second, since_second, now)
            if by_second > second.brim:
                refused = _later(refused, refused_by(second, by_second))
            by_second += second.unit
        if refused is not None:
            return refused
        held = self._enter_organization(organization_id, rules.concurrent, now)
        if not isinstance(held, Refused):
            _RATES.pack_into(self._memory, at, by_minute, now, by_second, now)
        return held

    def _enter_organization(self, organization_id: str, limit: int, now: int) -> Held | Refused:
        if not limit:
            return Held(cell=None)
        first, cells = self._organization_at(organization_id), self._cells
        if first is None:
            return at_once_refused(limit)
        end = first + cells[self._seats_cell]
        if sum(cells[first:end]) >= limit:
            self._sweep(first, now)
            if sum(cells[first:end]) >= limit:
                return at_once_refused(limit)
        cells[first + self._seat] += 1
        return Held(cell=first + self._seat)

    def _sweep(self, first: int, now: int) -> None:
        """Wipe what processes that died have left with an organization; looked for once a second at most."""
        if self._seats is None or 0 <= now - self._swept_at_us < _SWEEP_US:
            return
        self._swept_at_us = now

        def clear(seat: int) -> None:
            self._cells[first + seat] = 0

        for seat, running in enumerate(self._cells[first : first + SEATS]):
            if running:
                self._seats.vacate(seat, clear)

    def _key_at(self, key_id: str, now: int) -> int:
        """Where a key's state stands; an idle place near its home is made its own when it has none."""
        memory = self._memory
        name, at = self._key_places.get(key_id, _UNPLACED)
        if at >= 0 and memory[at : at + _NAME_BYTES] == name:
            return at
        name = _name_of(key_id)
        home = int.from_bytes(name[:8], "little") % self._keys * _KEY_BYTES
        near = range(home, home + _KEYS_NEAR * _KEY_BYTES, _KEY_BYTES)
        for at in near:
            if memory[at : at + _NAME_BYTES] == name:
                break
        else:
            at = min(near, key=lambda place: self._last_used(place, now))
            memory[at : at + _KEY_BYTES] = name + _FULL
        _remember(self._key_places, key_id, name, at)
        return at

    def _last_used(self, at: int, now: int) -> int:
        """When a place was used last; 0 for one that is free, and for one from before the clock began anew."""
        latest = max(_MOMENT.unpack_from(self._memory, at + each)[0] for each in _LATEST_AT)
        return latest if now - _IDLE_US < latest <= now else 0

    def _organization_at(self, organization_id: str) -> int | None:
        """The first of an organization's cells; None when all places near its home count calls of others."""
        memory = self._memory
        name, at = self._organization_places.get(organization_id, _UNPLACED)
        if at < 0 or memory[at : at + _NAME_BYTES] != name:
            name = _name_of(organization_id)
            found = self._find_organization(name)
            if found is None:
                return None
            at = found
            _remember(self._organization_places, organization_id, name, at)
        return (at + _NAME_BYTES) // _CELL

    def _find_organization(self, name: bytes) -> int | None:
        memory = self._memory
        home = int.from_bytes(name[:8], "little") % self._organizations
        places = [
            self._organizations_at + (home + step) % self._organizations * _ORGANIZATION_BYTES
            for step in range(min(_ORGANIZATIONS_NEAR, self._organizations))
        ]
        for at in places:
            if memory[at : at + _NAME_BYTES] == name:
                return at
        for at in places:
            first = (at + _NAME_BYTES) // _CELL
            if memory[at : at + _NAME_BYTES] == _NOBODY or not any(self._cells[first : first + SEATS]):
                memory[at : at + _NAME_BYTES] = name
                return at
        return None


_UNPLACED = (b"", -1)


def _remember(places: dict[str, tuple[bytes, int]], text: str, name: bytes, at: int) -> None:
    if len(places) >= _REMEMBERED:
        places.clear()
    places[text] = (name, at)


def _name_of(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_NAME_BYTES).digest()


def _keys_bytes(keys: int) -> int:
    return (keys + _KEYS_NEAR) * _KEY_BYTES


def _bytes_of(keys: int, organizations: int) -> int:
    """The keys, the organizations, and one cell that says how many seats have ever been taken."""
    return _keys_bytes(keys) + organizations * _ORGANIZATION_BYTES + _CELL


def at_once_refused(limit: int) -> Refused:
    """The refusal of a call beside too many others. Nobody knows when one of them ends: a second is a fair guess."""
    return Refused(limit=limit, window_s=0, wait_us=_US, full_us=_US)


def refused_by(bucket: Bucket, owed: int, units: int = 1) -> Refused:
    """The refusal of a bucket that has too little for so many units."""
    return Refused(
        limit=bucket.limit,
        window_s=bucket.window_s,
        wait_us=bucket.wait_us(owed, units),
        full_us=bucket.full_us(owed),
    )


def _later(one: Refused | None, other: Refused) -> Refused:
    return other if one is None or one.wait_us < other.wait_us else one


def room_of(minute: Bucket | None, by_minute: int, second: Bucket | None, by_second: int) -> Room | None:
    """The limit per minute, unless only the one per second is set or has nothing left."""
    if second is not None and (minute is None or by_second > second.brim):
        return _room_of(second, by_second)
    return None if minute is None else _room_of(minute, by_minute)


def _room_of(bucket: Bucket, owed: int) -> Room:
    return Room(
        limit=bucket.limit,
        window_s=bucket.window_s,
        remaining=bucket.room(owed),
        full_us=bucket.full_us(owed),
    )


def _capped(bucket: Bucket, owed: int) -> int:
    """A debt that a window of rest pays, however wrong an estimate was: the caller is not shut out for longer."""
    return min(owed, 2 * bucket.capacity * bucket.unit)
