"""The journal's bytes: each entry is its length, its CRC-32 and its content, so that a torn end is told from a whole one."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inferway.usage.records import Intent, UsageRecord

Entry = Intent | UsageRecord

_HEAD = struct.Struct("<II")
_INTENT, _SETTLED = b"\x01", b"\x02"
_MAX_LENGTH = 16 * 1024 * 1024
_CHUNK = 512 * 1024


class Torn(Exception):
    """The bytes from `offset` on are no whole entry."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"torn at byte {offset}")
        self.offset = offset


class Unreadable(Exception):
    """An entry is whole and cannot be understood: another version wrote it."""


def encode_intent(intent: Intent) -> bytes:
    """An intent as journal bytes."""
    body = _INTENT + msgspec.msgpack.encode(intent)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def encode_settled(record: UsageRecord) -> bytes:
    """A settled call as journal bytes."""
    body = _SETTLED + msgspec.msgpack.encode(record)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def decode(content: bytes, offset: int = 0) -> Iterator[tuple[Entry, int]]:
    """The entries from an offset on, each with the offset behind it.

    Raises `Torn` where the bytes end within an entry or do not match their checksum, and `Unreadable` for an unknown entry.
    """
    while offset < len(content):
        body, end = _body_at(content, offset)
        yield _entry(body), end
        offset = end


def read_batches(file: Path, start: int = 0, end: int | None = None) -> Iterator[tuple[list[Entry], int]]:
    """The entries of a file, some at a time so that memory stays flat, each batch with the offset behind it.

    Raises as `decode`, after everything before the trouble was given.
    """
    left = (file.stat().st_size if end is None else end) - start
    with file.open("rb") as opened:
        opened.seek(start)
        rest = b""
        while left > 0:
            chunk = opened.read(min(left, _CHUNK))
            left = left - len(chunk) if chunk else 0
            content = rest + chunk
            batch, used, trouble = _whole_entries(content)
            start += used
            rest = content[used:]
            if batch:
                yield batch, start
            if isinstance(trouble, Unreadable):
                raise trouble
            if trouble is not None and left <= 0:
                raise Torn(start)


def _whole_entries(content: bytes) -> tuple[list[Entry], int, Torn | Unreadable | None]:
    """What can be read of some bytes, how many they took, and what ended the reading early."""
    batch: list[Entry] = []
    used = 0
    try:
        for entry, end in decode(content):
            batch.append(entry)
            used = end
    except (Torn, Unreadable) as trouble:
        return batch, used, trouble
    return batch, used, None


def _body_at(content: bytes, offset: int) -> tuple[bytes, int]:
    start = offset + _HEAD.size
    if start > len(content):
        raise Torn(offset)
    length, checksum = _HEAD.unpack_from(content, offset)
    body = content[start : start + length]
    # A length of zero is what a file system leaves where blocks were promised and never written.
    if not 0 < length <= _MAX_LENGTH or len(body) < length or zlib.crc32(body) != checksum:
        raise Torn(offset)
    return body, start + length


def _entry(body: bytes) -> Entry:
    try:
        if body[:1] == _INTENT:
            return msgspec.msgpack.decode(body[1:], type=Intent)
        if body[:1] == _SETTLED:
            return msgspec.msgpack.decode(body[1:], type=UsageRecord)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None
    raise Unreadable(f"kind {body[0]}")
