"""Refuses calls that this worker has no room for, before anything is made of them: 503 `overloaded` at once.

Health and administration are never refused. A refusal must cost a small part of a call, or refusing would itself be the overload: a call
that lies complete in one read is answered without being parsed.
"""

import asyncio
import os
import random
import re
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from inferway.errors import Overloaded
from inferway.http.protocol import BoundedProtocol, ServingConfig
from inferway.http.render import encode, envelope, error_headers, json_headers
from inferway.http.wire import Receive, Scope, Send, request_id_of
from inferway.resilience.adaptive import Valve

_PATH = b"/v1/inference"
_START = b"POST /v1/inference HTTP/1.1\r\n"
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n")
_UNUSUAL = (b"\ntransfer-encoding", b"\nexpect:", b"\nconnection: close", b"\nupgrade:")
_REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([A-Za-z0-9._-]{1,128})[ \t]*\r\n", re.IGNORECASE)
_TURNED_AWAY_S = 1.0
_MESSAGE = "the server has more work than it can do now; try again"


class SheddingConfig(ServingConfig):
    """The configuration of a connection, with the valve that all connections share and the highest file number they may have."""

    valve: Valve
    refusal: "Refusal"
    files_max = 1 << 30


class SheddingProtocol(BoundedProtocol):
    """A connection whose calls are let in by the valve."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, SheddingConfig)  # noqa: S101 - the server makes both
        self.valve = config.valve
        self.refusal = config.refusal
        self.files_max = config.files_max
        self.is_vouched = False
        self.is_turned_away = False
        self.known_head = b""
        self.known_size = 0
        self.known_name: bytes | None = None
        self.file = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """A client came. Files are numbered from below, so its socket's number says how many are open."""
        super().connection_made(transport)
        self.file = transport.get_extra_info("socket").fileno()
        if self.file >= self.files_max:
            self.is_turned_away = True
            self.loop.call_later(_TURNED_AWAY_S, self._turn_away)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.is_turned_away:
            self._turn_away()
            return
        if self.valve.is_limiting and self.is_between() and self._is_whole(data):
            if not self.valve.admit():
                self._refuse_at_once()
                return
            self.is_vouched = True
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """A request that came in pieces, or in an unusual form, is judged when its head is there."""
        if (
            (self.valve.is_limiting or len(self.tasks) >= self.valve.calls_max)
            and self.url.partition(b"?")[0] == _PATH
            and not self._is_admitted()
        ):
            served, self.app, self.serve = (self.app, self.serve), refuse, None
            try:
                super().on_headers_complete()
            finally:
                self.app, self.serve = served
        else:
            super().on_headers_complete()

    def _is_whole(self, data: bytes) -> bool:
        # Most clients send the same head again and again.
        if len(data) == self.known_size and data.startswith(self.known_head):
            return True
        if not is_whole_call(data):
            return False
        self.known_head, self.known_size = data[: data.find(b"\r\n\r\n") + 4], len(data)
        given = _REQUEST_ID.search(self.known_head)
        self.known_name = None if given is None else given[1]
        return True

    def _refuse_at_once(self) -> None:
        """Straight to the socket, past the loop's queue: nothing else is on its way on this connection, and a refusal is small."""
        self.since = self.valve.looked_at
        answer = self.refusal.to(self.known_name)
        try:
            sent = os.write(self.file, answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.transport.abort()
            return
        if sent < len(answer):
            self.transport.write(answer[sent:])

    def _is_admitted(self) -> bool:
        vouched, self.is_vouched = self.is_vouched, False
        if len(self.tasks) >= self.valve.calls_max:
            self.valve.refuse()
            return False
        return vouched or self.valve.admit()

    def _turn_away(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.refusal.to(None, b"connection: close\r\n"))
            self.transport.close()


def is_whole_call(data: bytes) -> bool:
    """Whether these bytes are one whole call and nothing else, in the plain form that clients send."""
    if not data.startswith(_START):
        return False
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[: end + 2].lower()
    lengths = _LENGTH.findall(head)
    if len(lengths) != 1 or head.count(b"\ncontent-length") != 1 or any(word in head for word in _UNUSUAL):
        return False
    return end + 4 + int(lengths[0]) == len(data)


class Refusal:
    """The whole answer to a call that is refused, laid out once: it is sent many times when there is no time."""

    def __init__(self) -> None:
        mark = "0" * 8
        error = overloaded()
        body = encode(envelope(error, mark))
        before, _, after = body.partition(mark.encode())
        headers = [*json_headers(b"", mark), *error_headers(error)]
        self._lines = b"".join(
            b"%b: %b\r\n" % header
            for header in headers
            if header[0] not in (b"content-length", b"x-request-id")
        )
        self._before = before
        self._after = after
        self._size = len(body) - len(mark)

    def to(self, request_id: bytes | None, more: bytes = b"") -> bytes:
        """The answer to a call with this request id, or a new one; `more` is further header lines."""
        name = request_id or b"req_%024x" % random.getrandbits(96)
        return b"".join(
            (
                b"HTTP/1.1 503 Service Unavailable\r\n",
                self._lines,
                more,
                b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (name, self._size + len(name)),
                self._before,
                name,
                self._after,
            )
        )


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """The application of a refused call."""
    del receive
    request_id = request_id_of(scope)
    error = overloaded()
    body = encode(envelope(error, request_id))
    headers = [*json_headers(body, request_id), *error_headers(error)]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def overloaded() -> Overloaded:
    """What a refused caller is told."""
    return Overloaded(_MESSAGE, retry_after_s=1.0, retryable=True)
