"""Circuit breakers: one for each provider and credential, counted together by all processes of a machine."""

import mmap
import os
import time
from collections.abc import Callable, Iterator
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from inferway.errors import OperatorError
from inferway.locks import FileLock, NoLock, map_file

FILE_NAME = "circuits-1"
"""The number is the layout's: another layout is another file."""

_PLACES = 4_096
_NEAR = 16
_NAME_BYTES = 16
_PLACE_BYTES = 128
_LABEL_AT, _LABEL_BYTES = 64, 64
_CELLS = _PLACE_BYTES // 8
# A place: the name, these numbers, and the label for people.
_FAILURES, _TRIPS, _OPEN_UNTIL, _PROBE_UNTIL, _TOUCHED = 2, 3, 4, 5, 6
_US = 1_000_000
_AHEAD_US = 60 * _US
"""A moment further ahead than an open circuit can last is from before the machine's clock began anew."""

State = Literal["closed", "failing", "open", "half_open"]


class BreakerRules(Struct, frozen=True, kw_only=True):
    """When a circuit opens and for how long.

    `failures` in a row open it (0: never) for `open_s` seconds, after each failed probe for as much again, at most `longest_s`.
    """

    failures: int = 5
    open_s: float = 30.0
    longest_s: float = 300.0


class CircuitState(Struct, frozen=True, kw_only=True):
    """How one circuit stands. `credential` says whose it is; `trips` is how often it has opened since it was last closed."""

    provider: str
    credential: Literal["operator", "caller"]
    state: State
    failures: int
    trips: int
    opens_for_s: float


class Lock(Protocol):
    """Keeps other processes away for a moment."""

    def acquire(self) -> bool: ...

    def release(self) -> None: ...

    def close(self) -> None: ...


class Circuits:
    """The table of all circuits: numbers in memory that processes share, written only when something fails or recovers.

    All times are of the machine's monotonic clock in microseconds, which all its processes read alike.
    """

    def __init__(
        self,
        memory: mmap.mmap | bytearray,
        rules: BreakerRules,
        *,
        lock: Lock,
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
        user: int | None = None,
    ) -> None:
        self.rules = rules
        self.clock_us = clock_us
        self.cells = memoryview(memory).cast("q")
        self._memory = memory
        self._lock = lock
        self._user = user
        self._places = len(memory) // _PLACE_BYTES

    @classmethod
    def in_memory(
        cls, rules: BreakerRules | None = None, clock_us: Callable[[], int] | None = None, places: int = 64
    ) -> "Circuits":
        """A table of this process alone."""
        clock = clock_us or (lambda: time.monotonic_ns() // 1000)
        return cls(bytearray(places * _PLACE_BYTES), rules or BreakerRules(), lock=NoLock(), clock_us=clock)

    @classmethod
    def open(cls, folder: Path, rules: BreakerRules) -> "Circuits":
        """The table that all processes share that name this folder; whoever opens it first finds every circuit closed.

        Raises `OperatorError` when the folder cannot be used.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            memory = map_file(folder / FILE_NAME, _PLACES * _PLACE_BYTES)
            user = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
            if _is_first(user):
                memory[:] = bytes(len(memory))
            flock(user, LOCK_SH)
            return cls(memory, rules, lock=FileLock(folder / "lock"), user=user)
        except OSError as error:
            raise OperatorError(f"{folder}: failures cannot be counted here: {error.strerror}.") from None

    def circuit(self, name: str, label: str, *, is_callers: bool) -> "Circuit":
        """The circuit of a name, which holds whatever tells it from others; `label` is the provider, for people."""
        digest = blake2b(name.encode(), digest_size=_NAME_BYTES).digest()
        shown = (b"c" if is_callers else b"o") + label.encode()[: _LABEL_BYTES - 1]
        return Circuit(self, digest, shown)

    def states(self) -> tuple[CircuitState, ...]:
        """How every circuit stands that was used since the table was begun."""
        return tuple(self._states())

    def place_of(self, name: bytes, label: bytes) -> int:
        """The cell at which a name's place begins; the longest unused of its neighbourhood is made its own when it has none."""
        home = int.from_bytes(name[:8], "little")
        near = [(home + step) % self._places for step in range(min(_NEAR, self._places))]
        for place in near:
            if self.is_at(name, place * _CELLS):
                return place * _CELLS
        place = min(near, key=self._worth)
        at = place * _PLACE_BYTES
        fresh = name + bytes(_LABEL_AT - _NAME_BYTES) + label.ljust(_LABEL_BYTES, b"\0")
        self._memory[at : at + _PLACE_BYTES] = fresh
        self.cells[place * _CELLS + _TOUCHED] = self.clock_us()
        return place * _CELLS

    def is_at(self, name: bytes, first: int) -> bool:
        """Whether a place is still this name's."""
        at = first * 8
        return self._memory[at : at + _NAME_BYTES] == name

    def lock(self) -> bool:
        """Keep the other processes away; `unlock` takes what this says."""
        return self._lock.acquire()

    def unlock(self, is_locked: bool) -> None:  # noqa: FBT001 - what `lock` said
        """Let the others go on."""
        if is_locked:
            self._lock.release()

    def close(self) -> None:
        """Forget the table."""
        self.cells.release()
        self._lock.close()
        if self._user is not None:
            os.close(self._user)
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

    def _worth(self, place: int) -> tuple[int, int]:
        """What would be lost with a place: nothing, a circuit at rest, or one that has failures; the older the less."""
        first = place * _CELLS
        return self.cells[first + _FAILURES], self.cells[first + _TOUCHED]

    def _states(self) -> Iterator[CircuitState]:
        # One look at the beginnings of all labels: this is asked every second, and nearly all places are empty.
        begins = self.cells[_LABEL_AT // 8 :: _CELLS].tolist()
        for place in compress(range(len(begins)), begins):
            at = place * _PLACE_BYTES + _LABEL_AT
            label = bytes(self._memory[at : at + _LABEL_BYTES]).rstrip(b"\0")
            yield self._state(label, place * _CELLS)

    def _state(self, label: bytes, first: int) -> CircuitState:
        failures, trips, open_until = self.cells[first + _FAILURES : first + _OPEN_UNTIL + 1]
        left_us = max(0, open_until - self.clock_us())
        state: State = "closed"
        if trips:
            state = "open" if left_us else "half_open"
        elif failures:
            state = "failing"
        return CircuitState(
            provider=label[1:].decode("utf-8", "replace"),
            credential="caller" if label[:1] == b"c" else "operator",
            state=state,
            failures=failures,
            trips=trips,
            opens_for_s=left_us / _US,
        )


class Circuit:
    """One circuit, as calls see it: they ask it before they go out and tell it how they ended.

    `cells[mark]` is 0 while nothing is wrong; then there is nothing to ask and nothing to tell.
    """

    __slots__ = ("_circuits", "_first", "_label", "_name", "cells", "mark")

    def __init__(self, circuits: Circuits, name: bytes, label: bytes) -> None:
        self._circuits = circuits
        self._name = name
        self._label = label
        self.cells = circuits.cells
        is_locked = circuits.lock()
        try:
            self._settle_down()
        finally:
            circuits.unlock(is_locked)

    def enter(self, lease_s: float) -> float:
        """Seconds to stay away, or 0 for a call that may go out, or -1 for the one that goes out as the probe.

        A probe that ends without a word (its process died) is waited for `lease_s` seconds.
        """
        circuits = self._circuits
        is_locked = circuits.lock()
        try:
            self._settle_down()
            cells, first, now = self.cells, self._first, circuits.clock_us()
            if not cells[first + _TRIPS]:
                return 0.0
            open_until, probe_until = cells[first + _OPEN_UNTIL], cells[first + _PROBE_UNTIL]
            if open_until > now:
                return self._shut_for_s(open_until, now)
            if probe_until > now:
                return min(1.0, (probe_until - now) / _US)
            cells[first + _PROBE_UNTIL] = now + round(lease_s * _US)
            return -1.0
        finally:
            circuits.unlock(is_locked)

    def shut_for_s(self) -> float:
        """Seconds for which the circuit is open; 0 when it is not."""
        if not self.cells[self.mark]:
            return 0.0
        open_until, now = self.cells[self._first + _OPEN_UNTIL], self._circuits.clock_us()
        return (open_until - now) / _US if open_until > now else 0.0

    def failed(self, *, is_probe: bool = False) -> None:
        """A call found the provider out of order. Failures of calls that went out before it opened change nothing."""
        circuits = self._circuits
        if not circuits.rules.failures:
            return
        is_locked = circuits.lock()
        try:
            self._settle_down()
            cells, first = self.cells, self._first
            cells[first + _TOUCHED] = circuits.clock_us()
            if cells[first + _TRIPS] and not is_probe:
                return
            cells[first + _FAILURES] += 1
            if cells[first + _FAILURES] >= circuits.rules.failures:
                self._open()
        finally:
            circuits.unlock(is_locked)

    def succeeded(self, *, is_probe: bool = False) -> None:
        """A call was answered: nothing is wrong any more. An open circuit believes only its probe."""
        circuits = self._circuits
        is_locked = circuits.lock()
        try:
            self._settle_down()
            if is_probe or not self.cells[self._first + _TRIPS]:
                self._clear()
        finally:
            circuits.unlock(is_locked)

    def abandoned(self) -> None:
        """The probe ended without finding out: another call may be it."""
        circuits = self._circuits
        is_locked = circuits.lock()
        try:
            self._settle_down()
            self.cells[self._first + _PROBE_UNTIL] = 0
        finally:
            circuits.unlock(is_locked)

    def _open(self) -> None:
        cells, first, rules = self.cells, self._first, self._circuits.rules
        cells[first + _TRIPS] += 1
        open_s = min(rules.open_s * cells[first + _TRIPS], rules.longest_s)
        cells[first + _OPEN_UNTIL] = self._circuits.clock_us() + round(open_s * _US)
        cells[first + _PROBE_UNTIL] = 0

    def _shut_for_s(self, open_until: int, now: int) -> float:
        if open_until - now > round(self._circuits.rules.longest_s * _US) + _AHEAD_US:
            self._clear()
            return 0.0
        return (open_until - now) / _US

    def _clear(self) -> None:
        for each in (_FAILURES, _TRIPS, _OPEN_UNTIL, _PROBE_UNTIL):
            self.cells[self._first + each] = 0

    def _settle_down(self) -> None:
        """Find this circuit's place, which another one may have been given while nothing was wrong with this."""
        first = getattr(self, "_first", None)
        if first is None or not self._circuits.is_at(self._name, first):
            self._first = self._circuits.place_of(self._name, self._label)
            self.mark = self._first + _FAILURES


def _is_first(user: int) -> bool:
    try:
        flock(user, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True
