"""Heads of calls that were read before: a client sends the same one again and again, but for the length of its body."""

import re

from inferway.http.render import Header

_START = b"POST "
_PLAIN = re.compile(
    rb"POST [!-~]+ HTTP/1\.1\r\n"
    rb"(?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[ \t]*(?:[!-~](?:[ \t!-~]*[!-~])?)?[ \t]*\r\n)+\r\n"
)
"""A head that cannot be read in two ways: no blank before a colon, no line that goes on in the next, nothing but printable ASCII."""
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*", re.IGNORECASE)
_UNUSUAL = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
_DIGITS = 9


class UsualHead:
    """A head as bytes around the digits of its Content-Length, and what it says."""

    __slots__ = ("_after", "_before", "_headers")

    def __init__(self, before: bytes, after: bytes, headers: dict[bytes, bytes]) -> None:
        self._before, self._after, self._headers = before, after, headers

    def find(self, data: bytes) -> tuple[dict[bytes, bytes], int, int] | None:
        """What data says that begin with this head: its headers, where the body begins and how long it is; None for any other data."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + _DIGITS + 1)
        if end < 0 or not data.startswith(after, end):
            return None
        digits = data[start:end]
        if not digits.isdigit():
            return None
        return {**self._headers, b"content-length": digits}, end + len(after), int(digits)


def find_usual_head(data: bytes, headers: list[Header]) -> UsualHead | None:
    """The head with which these data begin, for the next time; None for one with anything out of the ordinary.

    `headers` are what a parser has read in it: lower-case names, values without blanks around them.
    """
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or not data.startswith(_START) or not _PLAIN.fullmatch(data, 0, end):
        return None
    said = dict(headers)
    if len(said) != len(headers) or not _UNUSUAL.isdisjoint(said) or b"host" not in said:
        return None
    if said.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    length = _LENGTH.search(data, 0, end)
    digits = said.get(b"content-length", b"")
    if length is None or not digits.isdigit() or not data.startswith(digits + b"\r\n", length.end()):
        return None
    return UsualHead(data[: length.end()], data[length.end() + len(digits) : end], said)
