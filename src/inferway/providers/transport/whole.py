"""Answers that arrived whole and in the usual form: read at once, where the parser would make a call of ours for every header."""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

_LARGEST = 64 * 1024
_VALUE = rb"[ \t]*(?:[!-~](?:[ \t!-~]*[!-~])?)?\r\n"
_LINE = (
    # What says how the answer is framed or coded, or when the connection ends, is one of the lines below, or not usual.
    rb"(?:(?!(?i:content-length|transfer-encoding|connection|proxy-connection|upgrade|keep-alive|content-encoding):)"
    rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:" + _VALUE + rb"|(?i:connection:[ \t]*keep-alive)\r\n)*"
)
_HEAD = re.compile(
    rb"HTTP/1\.1 (?!204|304)([2-5][0-9][0-9])(?: [\t -~]*)?\r\n"
    rb"(" + _LINE + rb"(?i:content-length):[ \t]*([0-9]{1,9})\r\n" + _LINE + rb")\r\n"
)
"""A head that cannot be read in two ways: no line that goes on in the next, no blanks where they mean nothing, only printable ASCII,
one length, and nothing else about framing or the connection but that it stays. No line fits two places of it.
"""
_PARTS = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")


class Whole(Struct, frozen=True):
    """An answer: `lines` are those of its headers."""

    status: int
    lines: bytes
    body: bytes


class SentHeaders(Mapping[str, str]):
    """The headers in some lines, read when somebody asks for one: names are in lower case, values of the same name joined by commas."""

    __slots__ = ("_lines", "_read")

    def __init__(self, lines: bytes) -> None:
        self._lines = lines
        self._read: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._headers()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers())

    def __len__(self) -> int:
        return len(self._headers())

    def _headers(self) -> dict[str, str]:
        if self._read is None:
            self._read = {}
            for name, value in _PARTS.findall(self._lines.decode("ascii")):
                key = name.lower()
                self._read[key] = f"{self._read[key]}, {value}" if key in self._read else value
        return self._read


def find_whole(data: memoryview, head_bytes: int) -> Whole | None:
    """The answer that these bytes are, no more and no less, when its connection can be kept; None for any other, which the parser reads."""
    content = bytes(data) if len(data) <= _LARGEST else b""
    end = content.find(b"\r\n\r\n") + 4
    head = _HEAD.fullmatch(content, 0, end) if 4 <= end <= head_bytes else None
    if head is None or int(head[3]) != len(content) - end:
        return None
    return Whole(int(head[1]), head[2], content[end:])
