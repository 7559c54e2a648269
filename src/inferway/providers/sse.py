"""Reads server-sent events from a body that arrives in arbitrary pieces."""

from inferway.errors import ProviderBadAnswer

MAX_EVENT_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"

Event = tuple[str, bytes]
"""An event's name ("" when the wire has none) and its data, lines joined by LF."""


class SseParser:
    """An incremental parser. Source: WHATWG HTML, server-sent events, "interpreting an event stream".

    Line ends are LF, CRLF or CR; comments, `id`, `retry` and unknown fields are skipped; trailing blanks are kept. One difference: an
    event that the end of the body cuts off before its blank line is still delivered, because some servers leave that line away;
    whether the answer is complete is for the reader of the data to say. Raises `ProviderBadAnswer` for an event above the cap.
    """

    __slots__ = ("_data", "_first", "_held", "_max_bytes", "_name", "_size", "_skip_lf")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._held: list[bytes] = []
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0
        self._first = True
        self._skip_lf = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this piece of the body completes, in order."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._skip_lf = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._hold(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._held:
            lines[0] = b"".join((*self._held, lines[0]))
            self._size -= sum(map(len, self._held))
            self._held.clear()
        rest = lines.pop()
        events = self._read(lines)
        if rest:
            self._hold(rest)
        return events

    def finish(self) -> list[Event]:
        """The event that the end of the body cuts off, if any."""
        return self.feed(b"\n\n") if self._held else self._read([b""])

    def _hold(self, piece: bytes) -> None:
        self._held.append(piece)
        self._grow(len(piece))

    def _grow(self, length: int) -> None:
        self._size += length
        if self._size > self._max_bytes:
            raise ProviderBadAnswer("The provider's stream holds an event that is too large.")

    def _read(self, lines: list[bytes]) -> list[Event]:
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        events: list[Event] = []
        for line in lines:
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    events.append((self._name, data))
                    self._data = []
                self._name = ""
                self._size = 0
            elif line.startswith(b"data:"):
                self._grow(len(line))
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            else:
                self._read_other(line)
        return events

    def _read_other(self, line: bytes) -> None:
        """Any field but the usual `data: …`; a line without a colon is a field with an empty value."""
        field, _, value = line.partition(b":")
        if field == b"event":
            self._grow(len(line))
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")
        elif field == b"data":
            self._grow(len(line))
            self._data.append(b"")
