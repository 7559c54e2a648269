"""Writes of one turn of the event loop, made together when it is over."""

import asyncio
import logging
from typing import Protocol

_log = logging.getLogger("inferway")


class Sender(Protocol):
    """Something that holds bytes back; `flush` writes them. It may be called when there are none any more."""

    def flush(self) -> None: ...


class Outbox:
    """Calls `flush` of what has something to send, once everything that is ready now has run.

    A write wakes the process that waits for it, which costs more than the write. When answers leave together, it is woken once for
    all of them. With one call at a time nothing is held back: see where `put` is called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._senders: list[Sender] = []

    def put(self, sender: Sender) -> None:
        """Has a sender flushed soon."""
        if not self._senders:
            self._loop.call_soon(self._flush)
        self._senders.append(sender)

    def _flush(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            try:
                sender.flush()
            except Exception:  # noqa: BLE001 - one connection's trouble must not keep what others have to send
                _log.exception("held back bytes could not be sent")
