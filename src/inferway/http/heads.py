"""Heads of calls that were read before: clients send the same one again and again, but for the length of the body."""

import re

from inferway.http.exchange import BLANKS
from inferway.http.wire import REQUEST_ID

CONTENT_LENGTH = b"content-length"

_PLAIN = re.compile(
    rb"POST [!-~]+ HTTP/1\.1\r\n"
    rb"(?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+\r\n"
)
"""A head that cannot be read in two ways: no blank before a colon, no line that goes on in the next, nothing but printable ASCII.

Each byte fits one place of it only: strangers send these bytes, and a pattern that may try one again somewhere else can take hours.
"""
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*", re.IGNORECASE)
_UNUSUAL = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"proxy-connection"})
"""What says more than a value. The last is an old name of `connection`, which the parser obeys."""
_DIGITS = 9
_KEPT_MAX = 1_024
_BYTES_MAX = 4_096
"""What is kept is a stranger's, and stays: that many heads of the size that a request may have would be a hundred megabytes."""


class UsualHead:
    """A head as the bytes around the digits of its Content-Length, and what it says: `headers`, and the request id if there is one."""

    __slots__ = ("_after", "_before", "headers", "request_id")

    def __init__(self, before: bytes, after: bytes, headers: dict[bytes, bytes]) -> None:
        self._before, self._after = before, after
        self.headers = headers
        name = headers.get(b"x-request-id", b"")
        self.request_id = name if REQUEST_ID.fullmatch(name) else None

    def find(self, data: bytes) -> tuple[bytes, int] | None:
        """The digits of the length and where the body begins, for data that begin with this head; None for any other."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + _DIGITS + 1)
        if end < 0 or not data.startswith(after, end):
            return None
        digits = data[start:end]
        return (digits, end + len(after)) if digits.isdigit() else None


class Heads:
    """The heads of one path that are known: of at most so many headers and so many bytes.

    Those that are the same are one: connections share it, and the memory of it stays warm.
    """

    def __init__(self, path: bytes, *, headers_max: int = 100, bytes_max: int = _BYTES_MAX) -> None:
        self.start = b"POST %b HTTP/1.1\r\n" % path
        self._headers_max, self._bytes_max = headers_max, min(bytes_max, _BYTES_MAX)
        self._known: dict[tuple[bytes, bytes], UsualHead] = {}

    def learn(self, data: bytes) -> UsualHead | None:
        """The head with which these data begin; None for one with anything out of the ordinary."""
        if not data.startswith(self.start):
            return None
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end)
        if length is None or end > self._bytes_max:
            return None
        before, behind = data[: length.end()], data.find(b"\r", length.end())
        after = data[behind:end]
        known = self._known.get((before, after))
        return known or self._learn(data, end, before, after, data[length.end() : behind])

    def _learn(self, data: bytes, end: int, before: bytes, after: bytes, digits: bytes) -> UsualHead | None:
        if not _PLAIN.fullmatch(data, 0, end):
            return None
        headers = _usual_headers(data[len(self.start) : end - 4])
        if headers is None or len(headers) > self._headers_max or headers[CONTENT_LENGTH] != digits:
            return None
        if len(self._known) >= _KEPT_MAX:
            self._known.clear()
        known = self._known[before, after] = UsualHead(before, after, headers)
        return known


def _usual_headers(lines: bytes) -> dict[bytes, bytes] | None:
    """What plain lines say; None when a name comes twice, when there is no Host, or when more is asked for than an answer."""
    headers: dict[bytes, bytes] = {}
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in headers or name in _UNUSUAL:
            return None
        headers[name] = value.strip(BLANKS)
    if b"host" not in headers or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return headers if headers[CONTENT_LENGTH].isdigit() else None
