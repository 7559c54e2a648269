"""Reading a stream: bytes to events, and events to the answer at its end."""

import json
from collections.abc import Iterator

from inferway.client.answers import ChatAnswer, Event, chat_answer
from inferway.client.errors import ConnectionFailed, error_of

_BROKE_OFF = "the answer broke off before its end"


class EventReader:
    """Server-sent events as this API writes them (one `event` and one `data` line each), however the bytes are cut."""

    def __init__(self) -> None:
        self._rest = b""
        self.answer: ChatAnswer | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are complete now. Raises the `APIError` of an `error` event."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            event = _event(block)
            if event is None:
                continue
            if event.name == "error":
                raise error_of(int(event.data.get("status", 500)), event.data)
            if event.name == "done":
                self.answer = chat_answer(event.data)
            yield event

    def require_answer(self) -> ChatAnswer:
        """The answer at the end; raises `ConnectionFailed` when the stream ended without one."""
        if self.answer is None:
            raise ConnectionFailed(_BROKE_OFF, sent=True)
        return self.answer


def _event(block: bytes) -> Event | None:
    name, data = "", b""
    for line in block.split(b"\n"):
        if line.startswith(b"event: "):
            name = line[7:].decode("ascii", "replace")
        elif line.startswith(b"data: "):
            data = line[6:]
    if not name:
        return None
    try:
        found = json.loads(data)
    except ValueError:
        raise ConnectionFailed(_BROKE_OFF, sent=True) from None
    return Event(name=name, data=found if isinstance(found, dict) else {})
