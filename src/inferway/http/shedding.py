"""Refuses calls that this worker has no room for, before anything is made of them: 503 `overloaded`.

Health and administration are never refused. A refusal must cost a small part of a call, or refusing would itself be the overload: a call
that lies complete in one read is answered without being parsed.
"""

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from inferway.errors import Overloaded
from inferway.http.protocol import IDLE, BoundedProtocol, ServingConfig
from inferway.http.render import encode, envelope, error_headers, json_headers
from inferway.http.wire import Receive, Scope, Send, request_id_of
from inferway.outbox import Sender
from inferway.resilience.adaptive import Valve

_PATH = b"/v1/inference"
_LENGTH_IS = b"\r\ncontent-length: "
_TURNED_AWAY_S = 1.0
_HELD_S = 0.02
"""How long a refusal is held at least. Less than the 40 ms after which kernels acknowledge what is not answered: that would cost, too."""
_HELD_MAX_S = 4.0
_SHARE = 0.015
"""The part of a worker's time that goes into sending refusals, as long as none has been held for `_HELD_MAX_S`."""
_TOGETHER = 8
"""Refusals that are sent between two looks at the clock."""
_MESSAGE = "the server has more work than it can do now; try again"


class SheddingConfig(ServingConfig):
    """The configuration of a connection, with the valve that all connections share and the highest file number they may have."""

    valve: Valve
    refusal: "Refusal"
    files_max = 1 << 30


class SheddingProtocol(BoundedProtocol):
    """A connection whose calls are let in by the valve."""

    __slots__ = ("file", "files_max", "is_turned_away", "is_vouched", "refusal", "valve")

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
        self.file = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """A client came. Files are numbered from below, so its socket's number says how many are open."""
        super().connection_made(transport)
        self.file = transport.get_extra_info("socket").fileno()
        if self.file >= self.files_max:
            self.is_turned_away = True
            self.loop.call_later(_TURNED_AWAY_S, self._turn_away)

    def data_received(self, data: bytes) -> None:
        """Bytes came. Most of those that come in overload are calls to refuse: as little as can be is done for them."""
        if self.is_turned_away:
            self._turn_away()
            return
        found = None if self.missing else self.find_usual(data)
        if found is not None and self._is_settled(data, *found):
            return
        super().data_received(data)

    def _is_settled(self, data: bytes, digits: bytes, start: int) -> bool:
        """Begins or refuses a call whose head is known; whether that is all there is to do about it."""
        valve = self.valve
        if valve.is_limiting:
            if int(digits) != len(data) - start:
                return False
            if not valve.admit():
                self._refuse_soon()
                return True
        if len(self.tasks) < valve.calls_max and self.take_usual(data, digits, start):
            return True
        self.is_vouched = valve.is_limiting
        return False

    def flush(self) -> None:
        """Sends what is held back straight to the socket, when nothing else is on its way there: the loop's own queue costs more."""
        data = self.unsent
        if not data:
            return
        self.unsent = b""
        transport = self.transport
        if transport.is_closing():
            return
        sent = 0
        if not transport.get_write_buffer_size():
            try:
                sent = os.write(self.file, data)
            except BlockingIOError:
                pass
            except OSError:
                transport.abort()
                return
        if sent < len(data):
            transport.write(data[sent:])

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

    def _refuse_soon(self) -> None:
        self.since = now = self.valve.looked_at
        self.stage = IDLE
        self.unsent = self.refusal.to(None if self.usual is None else self.usual.request_id)
        self.refusal.hold(self, now)

    def _is_admitted(self) -> bool:
        vouched, self.is_vouched = self.is_vouched, False
        if len(self.tasks) >= self.valve.calls_max:
            self.valve.refuse()
            return False
        return vouched or self.valve.admit()

    def _turn_away(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.refusal.to(None, is_last=True))
            self.transport.close()


class Refusal:
    """The answer to calls that are refused, laid out once: it is sent many times when there is no time.

    If the two calls that are refused for each one that is served were answered at once, a fifth of the time would go into it. So only
    a part of the time is given to that, and refusals wait for their turn: some hundredths of a second mostly, and never longer than
    `_HELD_MAX_S`. A client with a bounded number of connections cannot ask again meanwhile, and answers that leave together cost less.
    `release` is called on and on by the server.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: deque[tuple[float, Sender]] = deque()
        self._released_at = 0.0
        self._plain = _laid_out(b"")
        self._last = _laid_out(b"connection: close\r\n")

    def hold(self, connection: Sender, now: float) -> None:
        """Has a connection flushed later: its refusal is written down, but not sent."""
        self._held.append((now, connection))

    def to(self, request_id: bytes | None, *, is_last: bool = False) -> bytes:
        """The answer to a call with this request id, or a new one; after the last one the connection is closed."""
        name = request_id or b"req_%024x" % random.getrandbits(96)
        head, middle, end, size = self._last if is_last else self._plain
        return b"%b%b%b%d\r\n\r\n%b%b%b" % (head, name, _LENGTH_IS, size + len(name), middle, name, end)

    def release(self, now: float) -> None:
        """Sends what has been held long enough, as far as the time for it reaches; `now` is a monotonic time."""
        held, due, overdue = self._held, now - _HELD_S, now - _HELD_MAX_S
        ends = now + _SHARE * (now - self._released_at)
        self._released_at = now
        while held and held[0][0] <= due:
            if held[0][0] > overdue and self._clock() > ends:
                break
            for _ in range(min(_TOGETHER, len(held))):
                held.popleft()[1].flush()


def _laid_out(more: bytes) -> tuple[bytes, bytes, bytes, int]:
    """The parts of the answer around the request id, which is in it twice; the size of the body without it."""
    mark = "0" * 8
    error = overloaded()
    body = encode(envelope(error, mark))
    before, _, after = body.partition(mark.encode())
    headers = [*json_headers(b"", mark), *error_headers(error)]
    lines = b"".join(
        b"%b: %b\r\n" % header for header in headers if header[0] not in (b"content-length", b"x-request-id")
    )
    head = b"HTTP/1.1 503 Service Unavailable\r\n%b%bx-request-id: " % (lines, more)
    return head, before, after, len(body) - len(mark)


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
