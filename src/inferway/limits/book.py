"""What was spent today and this month, in a file that the processes of a machine share and a restart does not forget."""

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from inferway.errors import OperatorError, StoreUnavailable
from inferway.limits.spending import Held, Reservation, require_room
from inferway.locks import FileLock, map_file
from inferway.types import SpendCap

FILE_NAME = "spend-1"
"""The number is the layout's: another layout is another file."""

_PLACES = 65_536
_HOLDS = 16_384
_NEAR = 64
_NAME_BYTES = 16
_NOBODY = bytes(_NAME_BYTES)
_SUMS = struct.Struct("<qqqq")
"""The day and what was spent in it, the month and what was spent in it."""
_PLACE_BYTES = _NAME_BYTES + _SUMS.size
_RECORD_BYTES = 32
_FREE = bytes(_RECORD_BYTES)
_HOLD = struct.Struct("<qqqq")
"""When it was reserved (unix seconds), how much, in which day and which month; the names of up to three caps follow."""
_CAPS = 3
_NAMES_AT = _RECORD_BYTES + _HOLD.size
_HOLD_BYTES = _NAMES_AT + _CAPS * _NAME_BYTES


class SpendBook:
    """Sums by key, namespace and organization, and the reservations that are in them.

    A reservation is let in while less than the cap is spent and reserved, so that a cap is passed by one reservation at most. What a
    process had reserved when it was killed stays counted until somebody knows what the call cost. Money is never counted without
    the lock.
    """

    def __init__(
        self,
        folder: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        places: int = _PLACES,
        holds: int = _HOLDS,
    ) -> None:
        self._now, self._places, self._holds = now, places, holds
        self._holds_at = (places + _NEAR) * _PLACE_BYTES
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._memory = map_file(folder / FILE_NAME, self._holds_at + (holds + _NEAR) * _HOLD_BYTES)
            self._lock = FileLock(folder / "spend-lock")
        except OSError as error:
            raise OperatorError(f"{folder}: money cannot be counted here: {error.strerror}.") from None

    def reserve(self, caps: Sequence[SpendCap], microusd: int, record_id: str) -> Reservation:
        """Count money as spent under every cap, or under none.

        Raises `QuotaExceeded`, and `StoreUnavailable` when it cannot be counted.
        """
        with self._locked():
            moment = self._now()
            day, month = day_of(moment), month_of(moment)
            places = [self._place(cap, month) for cap in caps]
            sums = [self._sums(at, day, month) for at in places]
            for cap, (day_there, by_day, month_there, by_month) in zip(caps, sums, strict=True):
                require_room(cap, by_day, by_month, moment)
                day, month = max(day, day_there), max(month, month_there)
            hold = self._free_hold(record_id)
            for at, (_, by_day, _, by_month) in zip(places, sums, strict=True):
                _SUMS.pack_into(self._memory, at, day, by_day + microusd, month, by_month + microusd)
            names = b"".join(_name_of(cap.resource, cap.id) for cap in caps).ljust(_CAPS * _NAME_BYTES, b"\0")
            _HOLD.pack_into(self._memory, hold + _RECORD_BYTES, int(moment.timestamp()), microusd, day, month)
            self._memory[hold + _NAMES_AT : hold + _HOLD_BYTES] = names
            self._memory[hold : hold + _RECORD_BYTES] = _record(record_id)
        return Reservation(caps=tuple(caps), microusd=microusd, record_id=record_id, day=day, month=month)

    def settle(self, record_id: str, microusd: int | None) -> None:
        """Replace what was reserved for a call by what it cost, in the day and the month in which it was reserved.

        None leaves what was reserved as spent. A second time changes nothing. Raises `StoreUnavailable`.
        """
        with self._locked():
            hold = self._find_hold(record_id)
            if hold is None:
                return
            _, reserved, day, month = _HOLD.unpack_from(self._memory, hold + _RECORD_BYTES)
            change = 0 if microusd is None else microusd - reserved
            names = self._memory[hold + _NAMES_AT : hold + _HOLD_BYTES]
            for start in range(0, len(names) if change else 0, _NAME_BYTES):
                self._add(names[start : start + _NAME_BYTES], day, month, change)
            self._memory[hold : hold + _RECORD_BYTES] = _FREE

    def raise_to(self, cap: SpendCap, moment: datetime, by_day: int, by_month: int) -> None:
        """Count at least so much as spent in a moment's day and month: what another book says was spent. Raises `StoreUnavailable`."""
        day, month = day_of(moment), month_of(moment)
        with self._locked():
            at = self._place(cap, month)
            day_there, day_sum, month_there, month_sum = self._sums(at, day, month)
            if (day_there, month_there) == (day, month):
                sums = (day, max(day_sum, by_day), month, max(month_sum, by_month))
                _SUMS.pack_into(self._memory, at, *sums)

    def spent(self, cap: SpendCap) -> tuple[int, int] | None:
        """What is spent and reserved today and this month; None for what was never counted here."""
        moment = self._now()
        at = self._find_place(_name_of(cap.resource, cap.id))
        if at is None:
            return None
        _, by_day, _, by_month = self._sums(at, day_of(moment), month_of(moment))
        return by_day, by_month

    def left_over(self, age_s: float, most: int = 100) -> list[Held]:
        """Reservations that are older than any call can be."""
        oldest = int(self._now().timestamp() - age_s)
        found: list[Held] = []
        end = self._holds_at + (self._holds + _NEAR) * _HOLD_BYTES
        # Nearly always none is held: thousands of places are not looked at one by one then, while calls wait.
        if not self._memory[self._holds_at : end : _HOLD_BYTES].strip(b"\0"):
            return found
        for hold in range(self._holds_at, end, _HOLD_BYTES):
            if not self._memory[hold]:
                continue
            name = self._memory[hold : hold + _RECORD_BYTES]
            at, microusd, _, _ = _HOLD.unpack_from(self._memory, hold + _RECORD_BYTES)
            if at <= oldest:
                found.append(Held(record_id=name.rstrip(b"\0").decode("utf-8", "replace"), microusd=microusd))
            if len(found) >= most:
                break
        return found

    def close(self) -> None:
        """Forget the file; what it says stays."""
        self._lock.close()
        self._memory.close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire():
            raise uncountable()
        try:
            yield
        finally:
            self._lock.release()

    def _sums(self, at: int, day: int, month: int) -> tuple[int, int, int, int]:
        """The sums that count now. A clock that was set back over midnight goes on in the day that had begun."""
        of_day, by_day, of_month, by_month = _SUMS.unpack_from(self._memory, at)
        day_there, month_there = current(of_day, day), current(of_month, month)
        return (
            day_there,
            by_day if of_day == day_there else 0,
            month_there,
            by_month if of_month == month_there else 0,
        )

    def _add(self, name: bytes, day: int, month: int, change: int) -> None:
        at = None if name == _NOBODY else self._find_place(name)
        if at is None:
            return
        of_day, by_day, of_month, by_month = _SUMS.unpack_from(self._memory, at)
        by_day = max(0, by_day + change) if of_day == day else by_day
        by_month = max(0, by_month + change) if of_month == month else by_month
        _SUMS.pack_into(self._memory, at, of_day, by_day, of_month, by_month)

    def _near(self, name: bytes) -> range:
        home = int.from_bytes(name[:8], "little") % self._places * _PLACE_BYTES
        return range(home, home + _NEAR * _PLACE_BYTES, _PLACE_BYTES)

    def _find_place(self, name: bytes) -> int | None:
        for at in self._near(name):
            if self._memory[at : at + _NAME_BYTES] == name:
                return at + _NAME_BYTES
        return None

    def _place(self, cap: SpendCap, month: int) -> int:
        """Where the sums of something stand; a place that nobody spent from this month is made its own when it has none."""
        name = _name_of(cap.resource, cap.id)
        found = self._find_place(name)
        if found is not None:
            return found
        for at in self._near(name):
            if _SUMS.unpack_from(self._memory, at + _NAME_BYTES)[2] < month:
                self._memory[at : at + _PLACE_BYTES] = name + bytes(_SUMS.size)
                return at + _NAME_BYTES
        raise uncountable()

    def _holds_near(self, record_id: str) -> range:
        home = self._holds_at + zlib.crc32(record_id.encode()) % self._holds * _HOLD_BYTES
        return range(home, home + _NEAR * _HOLD_BYTES, _HOLD_BYTES)

    def _find_hold(self, record_id: str) -> int | None:
        name = _record(record_id)
        for at in self._holds_near(record_id):
            if self._memory[at : at + _RECORD_BYTES] == name:
                return at
        return None

    def _free_hold(self, record_id: str) -> int:
        for at in self._holds_near(record_id):
            if self._memory[at : at + _RECORD_BYTES] == _FREE:
                return at
        raise uncountable()


def day_of(moment: datetime) -> int:
    """A day as a number."""
    return moment.toordinal()


def month_of(moment: datetime) -> int:
    """A month as a number."""
    return moment.year * 12 + moment.month


def current(there: int, now: int) -> int:
    """The day or month that counts: the one that is, or the next when it had begun before the clock was set back."""
    return there if there == now + 1 else now


def uncountable() -> StoreUnavailable:
    """The refusal of a call whose money cannot be counted: it is not let through."""
    return StoreUnavailable(
        "what is spent cannot be counted just now, so this call is not made",
        code="spend_unavailable",
        retry_after_s=5,
    )


@lru_cache(maxsize=4_096)
def _name_of(resource: str, name: str) -> bytes:
    return blake2b(f"{resource}:{name}".encode(), digest_size=_NAME_BYTES).digest()


def _record(record_id: str) -> bytes:
    return record_id.encode()[:_RECORD_BYTES].ljust(_RECORD_BYTES, b"\0")
