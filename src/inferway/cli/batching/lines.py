"""The lines that go in: cut from bytes, and read as calls."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

from msgspec import Struct

LINE_MAX_BYTES = 64 * 1024 * 1024
"""More than a server takes by default (32 MB); what is behind it in a line is not kept."""
_CHUNK_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"


class Line(Struct, frozen=True, kw_only=True):
    """One line that is not blank, without its end; `number` counts from 1, blank lines too."""

    number: int
    text: bytes

    @property
    def sum(self) -> str:
        """By which an answer is known to be this line's: 16 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.text).hexdigest()[:16]


class Job(Struct, frozen=True, kw_only=True):
    """A line that is a call: the body of `POST /v1/inference`, and the caller's own id for it."""

    number: int
    sum: str
    id: str | int | None
    body: dict[str, Any]


class BadLine(Struct, frozen=True, kw_only=True):
    """A line that is no call, and why."""

    number: int
    sum: str
    message: str
    id: str | int | None = None


class Splitter:
    """Cuts bytes into lines, and holds never more than one line and one piece of input."""

    def __init__(self, max_bytes: int = LINE_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._number = 0
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that end in these bytes; blank ones only count."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._keep(piece)
            yield from self._end()
        self._keep(rest)

    def finish(self) -> Iterator[Line]:
        """The last line, if it has no end of its own."""
        yield from self._end()

    def _keep(self, piece: bytes) -> None:
        # One byte above the limit is kept, so that it can be seen that there was more.
        room = self._max_bytes + 1 - self._size
        if piece and room > 0:
            self._pieces.append(piece[:room])
            self._size += min(len(piece), room)

    def _end(self) -> Iterator[Line]:
        self._number += 1
        text = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        text = (text.removeprefix(_BOM) if self._number == 1 else text).strip()
        if text:
            yield Line(number=self._number, text=text)


def lines_of_file(file: int) -> Iterator[Line]:
    """All lines of an open file, from where it stands."""
    splitter = Splitter()
    while data := os.read(file, _CHUNK_BYTES):
        yield from splitter.feed(data)
    yield from splitter.finish()


async def lines_of(file: int) -> AsyncIterator[Line]:
    """The same without holding up the loop: a pipe is waited for."""
    splitter = Splitter()
    while data := await _read(file):
        for line in splitter.feed(data):
            yield line
    for line in splitter.finish():
        yield line


async def _read(file: int) -> bytes:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        # The mode of the file is left alone: others (a shell, a terminal) may share it.
        loop.add_reader(file, ready.set)
    except PermissionError:
        # A regular file, which is always ready: others have their turn all the same.
        await asyncio.sleep(0)
        return os.read(file, _CHUNK_BYTES)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(file)
    return os.read(file, _CHUNK_BYTES)


def read_job(line: Line) -> Job | BadLine:
    """The call of a line: an object, whose `id` or `custom_id` is the caller's and whose rest is the body."""
    number, total = line.number, line.sum
    if len(line.text) > LINE_MAX_BYTES:
        return BadLine(
            number=number,
            sum=total,
            message=f"longer than {LINE_MAX_BYTES // 1024 // 1024} MiB; split the call",
        )
    try:
        body = json.loads(line.text, parse_constant=_refuse)
        # A lone half of a character pair can be written in JSON and not be sent.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        return BadLine(number=number, sum=total, message=f"this is not JSON: {_reason(error)}")
    if not isinstance(body, dict):
        return BadLine(
            number=number, sum=total, message="a call is a JSON object: the body of POST /v1/inference"
        )
    names = [name for name in ("id", "custom_id") if name in body]
    own = [body.pop(name) for name in names]
    if len(own) > 1 or not all(isinstance(each, str | int) and not isinstance(each, bool) for each in own):
        return BadLine(
            number=number, sum=total, message="an own id is one string or integer, in `id` or in `custom_id`"
        )
    found = own[0] if own else None
    if body.get("stream"):
        return BadLine(
            number=number, sum=total, id=found, message="take `stream` away: a batch has whole answers"
        )
    return Job(number=number, sum=total, id=found, body=body)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} at character {error.pos + 1}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is not UTF-8"
    if isinstance(error, UnicodeEncodeError):
        return "half of a character pair stands alone"
    return "it nests too deeply" if isinstance(error, RecursionError) else str(error)
