"""The numbers of all worker processes of one machine, in memory that they share.

Each worker counts on a board of its own, a small file that it alone writes and that everybody may read. So counting takes no lock
and no message, whoever is scraped can tell the sum, and what a worker counted survives it however it dies: whoever takes its place
goes on counting where it stopped. When the first worker comes to a machine where none lives, all begins at zero.
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from inferway.errors import OperatorError
from inferway.locks import FileLock, Seats
from inferway.observe.families import Family

SEATS = 96
"""Most workers of one machine."""

_MARK_BYTES = 16
_LENGTH = struct.Struct("<Q")
_HEAD_BYTES = _MARK_BYTES + _LENGTH.size
_CELLS_AT = 512 * 1024
_CELL = 8
_BOARD_BYTES = 2 * 1024 * 1024
"""Sparse: pages that nobody wrote on take no memory."""
_WIDEST = 32


Numbers = dict[tuple[str, tuple[str, ...]], tuple[float, ...]]
"""A metric's numbers by its name and its labels' values."""


class Series(Struct, frozen=True, array_like=True):
    """One line of a board's list of contents: a metric, its labels' values and where its numbers begin."""

    name: str
    labels: tuple[str, ...]
    at: int
    width: int


class Reading(Struct, frozen=True, kw_only=True):
    """What one board says. `is_live` is whether its worker lives."""

    seat: int
    is_live: bool
    numbers: Numbers


class Board:
    """The numbers of this worker. `cells` are added to in place; `place` says where."""

    def __init__(self, memory: mmap.mmap | bytearray, seat: int = 0, seats: Seats | None = None) -> None:
        self.seat = seat
        self._memory, self._seats = memory, seats
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        self._length = 0
        # The first cells take what finds no room.
        self._used = _WIDEST
        self._view = memoryview(memory)[_CELLS_AT:]
        self.cells = self._view.cast("d")
        self.spilled = 0
        for series in self._contents():
            self._places[series.name, series.labels] = series.at
            self._used = max(self._used, series.at + series.width)
            self._length += len(_line(series))

    @classmethod
    def open(cls, folder: Path, layout: tuple[Family, ...]) -> "Board":
        """A place among the workers that name this folder; raises `OperatorError` when there is none."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            seats = Seats(folder, SEATS)
            with _alone(folder):
                seat = seats.take()
                if seat is None:
                    raise OperatorError(f"{folder}: {SEATS} processes count here already.")
                if not any(_is_held(folder, number) for number in range(SEATS) if number != seat):
                    for old in folder.glob("board-*"):
                        old.unlink()
                memory = _map(folder / _name(seat), mark_of(layout))
        except OSError as error:
            raise OperatorError(f"{folder}: metrics cannot be kept here: {error.strerror}.") from None
        return cls(memory, seat, seats)

    @classmethod
    def in_memory(cls) -> "Board":
        """A board of this process alone."""
        return cls(bytearray(_BOARD_BYTES))

    def place(self, family: Family, labels: tuple[str, ...] = ()) -> int:
        """The first cell of a metric with these labels; where there is no room any more, a place that is never told."""
        found = self._places.get((family.name, labels))
        return self._add(family, labels) if found is None else found

    def numbers(self) -> Numbers:
        """What this board says."""
        return _numbers(self._contents(), self._view)

    def close(self) -> None:
        """Gives the place back; what was counted stays."""
        self.cells.release()
        self._view.release()
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()
        if self._seats is not None:
            self._seats.leave()

    def _contents(self) -> list[Series]:
        (length,) = _LENGTH.unpack_from(self._memory, _MARK_BYTES)
        return _contents(bytes(self._memory[_HEAD_BYTES : _HEAD_BYTES + length]))

    def _add(self, family: Family, labels: tuple[str, ...]) -> int:
        series = Series(family.name, labels, self._used, family.width)
        line = _line(series)
        start = _HEAD_BYTES + self._length
        if start + len(line) > _CELLS_AT or series.at + series.width > len(self.cells):
            self.spilled += 1
            return 0
        self._memory[start : start + len(line)] = line
        self._length += len(line)
        self._used += family.width
        # Readers go by the length, which therefore comes last.
        _LENGTH.pack_into(self._memory, _MARK_BYTES, self._length)
        self._places[series.name, labels] = series.at
        return series.at


def read_boards(folder: Path, layout: tuple[Family, ...]) -> Iterator[Reading]:
    """What every board of a folder says, by this version's layout."""
    mark = mark_of(layout)
    for number in range(SEATS):
        try:
            with (folder / _name(number)).open("rb") as opened:
                numbers = _read(opened, mark)
        except OSError:
            continue
        if numbers is not None:
            yield Reading(seat=number, is_live=_is_held(folder, number), numbers=numbers)


def mark_of(layout: tuple[Family, ...]) -> bytes:
    """A layout's name: another layout's numbers are not read as ours."""
    return blake2b(msgspec.json.encode(layout), digest_size=_MARK_BYTES).digest()


def _read(opened: BinaryIO, mark: bytes) -> Numbers | None:
    """Reads and never maps: a file that is cut short meanwhile must not end this process."""
    head = opened.read(_HEAD_BYTES)
    if len(head) != _HEAD_BYTES or head[:_MARK_BYTES] != mark:
        return None
    contents = _contents(opened.read(_LENGTH.unpack_from(head, _MARK_BYTES)[0]))
    opened.seek(_CELLS_AT)
    return _numbers(
        contents, opened.read(_CELL * max((each.at + each.width for each in contents), default=0))
    )


def _numbers(contents: list[Series], cells: bytes | memoryview) -> Numbers:
    return {
        (each.name, each.labels): struct.unpack_from(f"{each.width}d", cells, each.at * _CELL)
        for each in contents
    }


def _contents(lines: bytes) -> list[Series]:
    return msgspec.json.decode(b"[" + lines.rstrip(b",") + b"]", type=list[Series])


def _line(series: Series) -> bytes:
    return msgspec.json.encode(series) + b","


def _name(seat: int) -> str:
    return f"board-{seat:02}"


def _map(file: Path, mark: bytes) -> mmap.mmap:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.pread(descriptor, _MARK_BYTES, 0) != mark or os.fstat(descriptor).st_size != _BOARD_BYTES:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, _BOARD_BYTES)
            os.pwrite(descriptor, mark, 0)
        return mmap.mmap(descriptor, _BOARD_BYTES)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else comes meanwhile."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire()
        yield
    finally:
        lock.close()


def _is_held(folder: Path, seat: int) -> bool:
    """Whether a living process has a place."""
    if not (folder / f"seat-{seat:02}").exists():
        return False
    held = True

    def note(_: int) -> None:
        nonlocal held
        held = False

    Seats(folder, SEATS).vacate(seat, note)
    return held
