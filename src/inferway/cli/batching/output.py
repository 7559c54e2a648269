"""The file of answers: what it holds already, and that whatever is written stays usable however the program ends."""

import contextlib
import os
import secrets
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from inferway.cli.batching.lines import Line
from inferway.cli.batching.tally import Tally
from inferway.cli.batching.told import START, Told, read_told
from inferway.errors import OperatorError, UsageError
from inferway.locks import FileLock

_LINES_MAX = 1_000_000_000


class Done:
    """Which lines have their answer, and the sums of those lines: 8 bytes for each line."""

    def __init__(self) -> None:
        self._sums = array("Q")

    def add(self, number: int, total: str) -> None:
        """A line that need not be called any more. Raises `ValueError` for a sum that is none."""
        if not 0 < number < _LINES_MAX:
            raise ValueError("no line has this number")
        missing = number + 1 - len(self._sums)
        if missing > 0:
            self._sums.extend(array("Q", bytes(8 * missing)))
        self._sums[number] = _number(total)

    def has(self, line: Line) -> bool:
        """Whether the line has its answer. Raises `OperatorError` when the answer there is another line's."""
        kept = self._sums[line.number] if line.number < len(self._sums) else 0
        if kept and kept != _number(line.sum):
            raise OperatorError(
                f"Line {line.number} is not the one that the output has an answer for. The output belongs to another input, or the line"
                " was changed: name another output (or say --retry-failed if the line had failed and was mended)."
            )
        return bool(kept)

    @property
    def last(self) -> int:
        """The highest number of a line that has its answer; 0 when there is none."""
        return max(0, len(self._sums) - 1)


def check_input(lines: Iterable[Line], done: Done) -> int:
    """How many calls there are; raises `OperatorError` when the output belongs to another input."""
    count, last = 0, 0
    for line in lines:
        done.has(line)
        count, last = count + 1, line.number
    if done.last > last:
        raise OperatorError(
            f"The output has an answer for line {done.last}, and the input ends at line {last}. Name another output."
        )
    return count


class _State(Struct, frozen=True, kw_only=True):
    """What is kept beside the output until every line has its answer."""

    run: str


class Output:
    """An output file, for one run at a time. `run` names the run whose answers it holds, across restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state_path = path.with_name(f"{path.name}.run")
        self._lock = self._take()
        self._file: int | None = None
        self._end = 0
        self.run = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
        else:
            self._tidy()
        self._lock.close()

    def look(self, tally: Tally, *, retry_failed: bool) -> Done:
        """What the file holds, changing nothing. With `retry_failed` failures count as not done."""
        done = Done()
        for told, _ in self._told():
            if told.is_answered or not retry_failed:
                try:
                    done.add(told.line, told.line_sha256)
                except (ValueError, OverflowError):
                    raise self._foreign() from None
                tally.add(told)
        return done

    def begin(self, *, retry_failed: bool) -> None:
        """Makes the file ready to be written on: half a line at its end goes, failures go if they are tried again."""
        try:
            is_new = not self._path.exists()
            self.run = self._name_run(is_new=is_new)
            if retry_failed and not is_new:
                self._drop_failures()
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            if not retry_failed and not is_new:
                os.ftruncate(self._file, self._end)
        except OSError as error:
            raise self._unusable(error) from None

    def write(self, text: bytes) -> None:
        """Appends a line; once it returns the line outlives the program. Raises `OperatorError`, e.g. for a full disk."""
        assert self._file is not None, "begin comes first"  # noqa: S101
        write_whole(self._file, text, str(self._path))

    def forget_run(self) -> None:
        """Every line has its answer: there is nothing to go on with."""
        self._state_path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Nothing was begun: nothing is left behind."""
        with contextlib.suppress(OSError):
            if not self._path.exists() or not self._state_path.stat().st_size:
                self._state_path.unlink()

    def _take(self) -> FileLock:
        if self._path.is_dir():
            raise OperatorError(f"{self._path}: this is a folder. Name a file.")
        try:
            while True:
                lock = FileLock(self._state_path)
                if not lock.acquire():
                    lock.close()
                    raise OperatorError(
                        f"{self._path}: another run writes it. Wait for that, or name another output."
                    )
                if self._state_path.exists():
                    return lock
                # Who held it took it away, being done.
                lock.close()
        except OSError as error:
            raise self._unusable(error) from None

    def _name_run(self, *, is_new: bool) -> str:
        """The run's name, written down before the first call goes out; an output that is gone was another run's."""
        if not is_new:
            with contextlib.suppress(msgspec.MsgspecError):
                return msgspec.json.decode(self._state_path.read_bytes(), type=_State).run
        state = _State(run=secrets.token_hex(8))
        self._state_path.write_bytes(msgspec.json.encode(state))
        return state.run

    def _told(self) -> Iterator[tuple[Told, bytes]]:
        """The lines of the file, as values and as they are; what comes after the last end of a line is not looked at."""
        self._end = 0
        try:
            opened = self._path.open("rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error) from None
        with opened:
            for text in opened:
                if not text.endswith(b"\n"):
                    # Only half a line of ours may be thrown away.
                    if not text.startswith(START[: len(text)]):
                        raise self._foreign()
                    return
                try:
                    yield read_told(text), text
                except msgspec.MsgspecError:
                    raise self._foreign() from None
                self._end += len(text)

    def _drop_failures(self) -> None:
        """Writes the file anew without the failures; it is the old one or the new one, never a half."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        with fresh.open("wb") as opened:
            for told, text in self._told():
                if told.is_answered:
                    opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(self._path)

    def _foreign(self) -> OperatorError:
        return OperatorError(
            f"{self._path}: this is not an output of `inferway batch` (line {self._end_line()}). Name another file; nothing was changed."
        )

    def _end_line(self) -> int:
        with self._path.open("rb") as opened:
            return opened.read(self._end).count(b"\n") + 1

    def _unusable(self, error: OSError) -> OperatorError:
        return OperatorError(
            f"{self._path}: {(error.strerror or 'unusable').lower()}. Name a file that can be written."
        )


class Pipe:
    """Standard output in a file's place: every run is a new one."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.run = secrets.token_hex(8)

    def look(self, tally: Tally, *, retry_failed: bool) -> Done:
        """Nothing is there before. Raises `OperatorError` for `retry_failed`."""
        del tally
        if retry_failed:
            raise UsageError("--retry-failed needs OUT to be a file: standard output holds no answers.")
        return Done()

    def begin(self, *, retry_failed: bool) -> None:
        """It is ready."""

    def write(self, text: bytes) -> None:
        """Appends a line. Raises `OperatorError` when nobody reads it any more."""
        write_whole(self._file, text, "standard output")

    def forget_run(self) -> None:
        """There is nothing that could be gone on with."""


def write_whole(file: int, text: bytes, name: str) -> None:
    """Writes all of it; raises `OperatorError`."""
    rest = memoryview(text)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise OperatorError(
            f"{name}: {reason}. Mend that and run the same command again: it goes on."
        ) from None


def _number(total: str) -> int:
    # 0 stands for no answer.
    return int(total, 16) or 1
