"""Answers that arrived whole and in the usual form: read at once, where the parser would make a call of ours for every header."""

import re

from msgspec import Struct

_LARGEST = 64 * 1024
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\t -~]*)?\r\n"
    rb"((?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[ \t]*(?:[!-~](?:[ \t!-~]*[!-~])?)?\r\n)+)\r\n"
)
"""A head that cannot be read in two ways: no line that goes on in the next, no blanks where they mean nothing, only printable ASCII."""
_LINE = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")
_BODILESS = (204, 304)
_DIGITS = 9


class Whole(Struct, frozen=True):
    """An answer: names of headers are in lower case, values of the same name are joined by commas."""

    status: int
    headers: dict[str, str]
    body: bytes


def find_whole(data: memoryview, head_bytes: int) -> Whole | None:
    """The answer that these bytes are, no more and no less, when its connection can be kept; None for any other, which the parser reads."""
    content = bytes(data) if len(data) <= _LARGEST else b""
    end = content.find(b"\r\n\r\n") + 4
    head = _HEAD.fullmatch(content, 0, end) if 4 <= end <= head_bytes else None
    if head is None:
        return None
    status = int(head[1])
    lines = _LINE.findall(head[2].decode("ascii"))
    headers = {name.lower(): value for name, value in lines}
    if len(headers) != len(lines):
        headers = _joined(lines)
    if status in _BODILESS or not _is_usual(headers, len(content) - end):
        return None
    return Whole(status, headers, content[end:])


def _is_usual(headers: dict[str, str], size: int) -> bool:
    """Whether headers say nothing about framing but that the body has this size, and nothing of the connection but that it stays."""
    length = headers.get("content-length", "")
    if not length.isdecimal() or len(length) > _DIGITS or int(length) != size:
        return False
    if "transfer-encoding" in headers or "upgrade" in headers or "proxy-connection" in headers:
        return False
    return "connection" not in headers or headers["connection"].lower() == "keep-alive"


def _joined(lines: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in lines:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
