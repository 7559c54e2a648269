"""Which worker of this machine makes which call: a table of the calls in flight, in memory that the workers share."""

import contextlib
import mmap
import secrets
import struct
from pathlib import Path

from inferway.locks import FileLock, Seats, map_file

FILE_NAME = "leaders-1"
"""The number is the layout's: another layout is another file."""
SEATS = 96
"""Most processes that can share their calls."""
KEY_BYTES = 32

_BIRTH_BYTES = 8
_UNBORN = bytes(_BIRTH_BYTES)
_PLACES = 4_096
_NEAR = 8
_OWNER = struct.Struct("<Q8s")
"""Whose place it is (a seat's number and 1; 0 for nobody's), and that process's birth."""
_PLACE_BYTES = KEY_BYTES + _OWNER.size
_PLACES_AT = SEATS * _BIRTH_BYTES
_SIZE = _PLACES_AT + (_PLACES + _NEAR) * _PLACE_BYTES
_NEAR_BYTES = _NEAR * _PLACE_BYTES
_NOBODYS = bytes(8)
_FREE = bytes(_PLACE_BYTES)


class Leaders:
    """The calls in flight on this machine by key, with the seat of the worker that makes each.

    Each process takes a seat and writes a random birth at it; a place counts only while its owner's birth stands there, so that whoever
    takes the seat of a dead process wipes all its places at once. Where places are torn or full, a call is not shared: nothing else.
    """

    def __init__(self, memory: mmap.mmap, lock: FileLock, seats: Seats, seat: int) -> None:
        self.seat = seat
        self._memory = memory
        self._lock = lock
        self._seats = seats
        self._owner = _OWNER.pack(seat + 1, secrets.token_bytes(_BIRTH_BYTES))
        self._mine: dict[bytes, int] = {}
        self._set_birth(seat, self._owner[-_BIRTH_BYTES:])

    @classmethod
    def open(cls, folder: Path) -> "Leaders":
        """The table that all processes share that name this folder; raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        seats = Seats(folder, SEATS)
        seat = seats.take()
        if seat is None:
            raise OSError("too many processes share their calls here")
        leaders = cls(map_file(folder / FILE_NAME, _SIZE), FileLock(folder / "lock"), seats, seat)
        leaders.bury()
        return leaders

    def claim(self, key: bytes, instead_of: int | None = None) -> int | None:
        """The seat of whoever makes this call already; None: nobody, and now it is this process's, if there is room.

        The seat `instead_of` counts as nobody.
        """
        is_locked = self._lock.acquire()
        try:
            home = _PLACES_AT + int.from_bytes(key[:4], "little") % _PLACES * _PLACE_BYTES
            near = self._memory[home : home + _NEAR_BYTES]
            at: int | None = home
            if near[KEY_BYTES : KEY_BYTES + 8] != _NOBODYS or key in near:
                seat, at = self._look(near, key, home)
                if seat not in (None, self.seat, instead_of):
                    return seat
            if at is not None:
                self._memory[at : at + _PLACE_BYTES] = key + self._owner
                self._mine[key] = at
            return None
        finally:
            if is_locked:
                self._lock.release()

    def _look(self, near: bytes, key: bytes, home: int) -> tuple[int | None, int | None]:
        """Who makes the call and where that is written; else None, and where it can be, if anywhere."""
        free = None
        for step in range(0, _NEAR_BYTES, _PLACE_BYTES):
            seat = self._seat_of(near, step)
            if seat is None:
                free = home + step if free is None else free
            elif near[step : step + KEY_BYTES] == key:
                return seat, home + step
        return None, free

    def leads(self, key: bytes) -> bool:
        """Whether this process makes the call, and others may know."""
        return key in self._mine

    def release(self, key: bytes) -> None:
        """The call has ended."""
        at = self._mine.pop(key, None)
        # Whoever took this process for dead has put itself in its place.
        if at is not None and self._memory[at : at + _PLACE_BYTES] == key + self._owner:
            self._memory[at : at + _PLACE_BYTES] = _FREE

    def bury(self) -> None:
        """Wipes what processes have left that died and whose seats nobody took since."""
        for seat in range(SEATS):
            if seat != self.seat and self._birth(seat) != _UNBORN:
                self._seats.vacate(seat, lambda number: self._set_birth(number, _UNBORN))

    def close(self) -> None:
        """Gives the seat back."""
        self._set_birth(self.seat, _UNBORN)
        self._seats.leave()
        self._lock.close()
        with contextlib.suppress(BufferError):
            self._memory.close()

    def _seat_of(self, near: bytes, at: int) -> int | None:
        number, birth = _OWNER.unpack_from(near, at + KEY_BYTES)
        if not 0 < number <= SEATS or birth != self._birth(number - 1):
            return None
        return int(number) - 1

    def _birth(self, seat: int) -> bytes:
        return self._memory[seat * _BIRTH_BYTES : (seat + 1) * _BIRTH_BYTES]

    def _set_birth(self, seat: int, birth: bytes) -> None:
        self._memory[seat * _BIRTH_BYTES : (seat + 1) * _BIRTH_BYTES] = birth
