"""HTTP/1.1 of one connection: uvicorn's parser, with deadlines for slow clients, bounds for headers and our own 400."""

import asyncio
import logging
import secrets
import socket
import sys
from collections import deque
from typing import Any, cast

import httptools
import msgspec
import uvicorn
from msgspec import Struct
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from inferway.http.direct import DirectCycle, Serve
from inferway.http.exchange import BLANKS, count_hosts
from inferway.http.flow import Flow
from inferway.http.heads import CONTENT_LENGTH, Heads, UsualHead
from inferway.outbox import Outbox

_log = logging.getLogger("inferway.http")

_MALFORMED = "the request is not HTTP/1.1 that can be read"

_HELD_BACK_MAX = 64 * 1024

_LESSONS = 4
"""How many heads of a connection are remembered, one after the other: a client that never says the same again teaches nothing."""

# What is being received. Plain numbers: they are compared several times in each request.
_HEAD, _BODY, IDLE = 0, 1, 2

_AT_ONCE = b"\1\0\0\0\0\0\0\0" if sys.byteorder == "little" else b"\0\0\0\1\0\0\0\0"
"""`struct linger`: on, for no time."""


class Bounds(Struct, frozen=True, kw_only=True):
    """What a connection may take: seconds for a whole head, seconds for a whole body, header lines, bytes of a head."""

    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    headers_max: int = 100
    head_max_bytes: int = 32 * 1024


class ServingConfig(uvicorn.Config):
    """uvicorn's configuration, with the bounds of a connection, and who serves the requests of `direct_path` without ASGI."""

    bounds = Bounds()
    direct_path = b""
    direct: Serve | None = None
    outbox: Outbox | None = None
    heads: Heads | None = None
    nothing_behind: deque[Any] | None = None
    """What is pipelined on connections where nothing ever was: one for all, and nothing is put into it."""


class HeadTooLarge(Exception):
    """More headers than a request may have."""


class Ambiguous(Exception):
    """A request that may end in two places."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    No timer is armed for a request: the server calls `look` on each connection now and then. A POST of the direct path is served as a
    `DirectCycle`; everything else, and what is pipelined behind another request, by uvicorn and ASGI.

    There may be thousands that wait: a connection keeps little, and nothing of the call that it had.
    """

    __slots__ = (
        "bounds",
        "chunk_bytes",
        "complaint",
        "direct",
        "direct_path",
        "heads",
        "lessons",
        "missing",
        "nothing_behind",
        "outbox",
        "serve",
        "since",
        "stage",
        "stalled_since",
        "unheard_bytes",
        "unsent",
        "usual",
    )

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, ServingConfig)  # noqa: S101 - the server makes both
        self.bounds = config.bounds
        self.direct_path, self.serve = config.direct_path, config.direct
        self.direct: DirectCycle | None = None
        self.stage = _HEAD
        self.since = self.loop.time()
        self.stalled_since: float | None = None
        self.unheard_bytes = 0
        self.chunk_bytes = 0
        self.complaint = _MALFORMED
        if config.outbox is None:
            config.outbox = Outbox(self.loop)
        if config.nothing_behind is None:
            config.nothing_behind = deque()
        if config.heads is None:
            limits = config.bounds
            config.heads = Heads(
                config.direct_path, headers_max=limits.headers_max, bytes_max=limits.head_max_bytes
            )
        self.outbox, self.heads = config.outbox, config.heads
        self.pipeline = self.nothing_behind = config.nothing_behind
        self.unsent = b""
        self.usual: UsualHead | None = None
        self.lessons = _LESSONS
        self.missing = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """A client came."""
        super().connection_made(transport)
        self.flow = Flow(transport)

    def send_whole(self, data: bytes) -> None:
        """Sends an answer, together with those of other calls that end now."""
        if len(self.tasks) > 1 and len(data) < _HELD_BACK_MAX and not self.unsent:
            self.unsent = data
            self.outbox.put(self)
            return
        self.flush()
        self.transport.write(data)

    def flush(self) -> None:
        """Sends what is held back. Comes before anything else that is written, and before the connection is closed."""
        data, self.unsent = self.unsent, b""
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def look(self, now: float) -> None:
        """Closes the connection when its peer sends or reads too slowly."""
        bounds = self.bounds
        age_s = now - self.since
        if self.stalled_since is not None and now - self.stalled_since > bounds.body_timeout_s:
            self._reset()
        elif self.stage == _BODY:
            if age_s > bounds.body_timeout_s:
                self.transport.close()
        elif self.stage == _HEAD:
            if age_s > bounds.header_timeout_s and not self.is_busy():
                self.transport.close()
        elif age_s > self.timeout_keep_alive and not self.is_busy():
            self.flush()
            self.transport.close()

    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def is_between(self) -> bool:
        """Whether no request is being received or answered."""
        if self.unsent:
            return False
        if self.stage == _HEAD:
            return self.unheard_bytes == 0 and self.cycle is None
        return self.stage == IDLE and not self.is_busy()

    def data_received(self, data: bytes) -> None:
        """Bytes came. Those that add up to nothing (an endless head, endless trailers) are refused as soon as they are too many."""
        if self.unsent:
            self.flush()
        while data:
            if self.missing:
                data = self._take_missing(data)
                continue
            self.chunk_bytes = len(data)
            self.unheard_bytes += self.chunk_bytes
            rest = b""
            # As uvicorn does, but for its timer of an idle connection, which is never armed here.
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                self.send_400_response("")
                return
            except httptools.HttpParserUpgrade as upgrade:
                # Nothing changes: what is behind that head is HTTP/1.1 as before.
                rest = data[upgrade.args[0] :]
            if self.unheard_bytes > self.bounds.head_max_bytes and self.stage != IDLE:
                self.complaint = self._too_large()
                self.send_400_response(self.complaint)
                return
            data = rest

    def find_usual(self, data: bytes) -> tuple[bytes, int] | None:
        """Whether a call with a head that is known begins with these data, and nothing is under way: what `UsualHead.find` says of it."""
        is_at_rest = self.stage == IDLE and not self.unsent and cast("object | None", self.cycle) is None
        if not is_at_rest and not self.is_between():
            return None
        usual = self.usual
        found = None if usual is None else usual.find(data)
        if found is not None or self.lessons <= 0 or not data.startswith(self.heads.start):
            return found
        self.lessons -= 1
        self.usual = usual = self.heads.learn(data)
        return None if usual is None else usual.find(data)

    def take_usual(self, data: bytes, digits: bytes, start: int) -> bool:
        """Begins the call that `find_usual` has found, without parsing its head; whether it could be begun."""
        length, size = int(digits), len(data) - start
        if size > length or not length or self.serve is None or self.usual is None:
            return False
        headers = {**self.usual.headers, CONTENT_LENGTH: digits}
        self.cycle = self.direct = cycle = DirectCycle(self, headers, 1, keep_alive=True)
        self.since = self.loop.time()
        if size == length and size <= HIGH_WATER_LIMIT:
            # As `on_body` and `on_message_complete`, for what nobody waits for yet.
            self.stage, self.unheard_bytes = IDLE, 0
            cycle.body, cycle.more_body = data[start:], False  # type: ignore[assignment]
            cycle.start(self.loop, self.serve)
            return True
        self.stage, self.missing = _BODY, length - size
        cycle.start(self.loop, self.serve)
        if size:
            self.on_body(data[start:])
        if size == length:
            self.on_message_complete()
        return True

    def _take_missing(self, data: bytes) -> bytes:
        """Takes what still belongs to the body of a call with the usual head; what is behind it."""
        piece, rest = data[: self.missing], data[self.missing :]
        self.missing -= len(piece)
        self.on_body(piece)
        if not self.missing:
            self.on_message_complete()
        return rest

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended; work for its client ends with it."""
        if self.direct is not None:
            self.direct.leave()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins; the first one of a connection began when it was opened."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        if self.stage != _HEAD:
            self.stage, self.since, self.unheard_bytes = _HEAD, self.loop.time(), self.chunk_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers.append((name.lower(), value.strip(BLANKS)))

    def on_headers_complete(self) -> None:
        """The head is whole: it is checked before anything is started for it."""
        bounds = self.bounds
        if len(self.headers) > bounds.headers_max or self.unheard_bytes > bounds.head_max_bytes:
            self._check_head()
        self.stage, self.since, self.unheard_bytes = _BODY, self.loop.time(), 0
        if self.url == self.direct_path and self.serve is not None and self._may_be_direct():
            headers = dict(reversed(self.headers))
            # Without a name twice there is at most one Host.
            is_unique = len(headers) == len(self.headers)
            hosts = int(b"host" in headers) if is_unique else count_hosts(self.headers)
            cycle = DirectCycle(self, headers, hosts, keep_alive=self.parser.should_keep_alive())
            if b"expect" not in headers:
                # The call has them now; trailers, and the next head, must not come upon them.
                self.headers = []
                self.cycle = self.direct = cycle
                cycle.start(self.loop, self.serve)
                return
        self._make_scope()
        if self.pipeline is self.nothing_behind:
            self.pipeline = deque()
        try:
            self.missing = self._length_behind_upgrade()
            super().on_headers_complete()
        except (Ambiguous, httptools.HttpParserInvalidURLError):
            # Nothing has begun for it: it is refused as a head that cannot be read, behind whatever is being answered.
            self.stage, self.missing = _HEAD, 0
            raise

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.unheard_bytes = 0
        # A head that begins behind it, in the same chunk, is only as large as the rest.
        self.chunk_bytes -= len(body)
        cycle = self.direct
        if cycle is None or cycle is not self.cycle or cycle.body or cycle.response_complete:
            super().on_body(body)
            return
        cycle.body = body  # type: ignore[assignment]
        if len(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if cycle.arrived is not None:
            cycle.arrived.set()

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self.missing:
            return  # the parser sees no body behind a wish to change the protocol
        self.stage = IDLE
        cycle = self.direct
        if cycle is None or cycle is not self.cycle or cycle.response_complete:
            super().on_message_complete()
        else:
            cycle.more_body = False
            if cycle.arrived is not None:
                cycle.arrived.set()

    def on_response_complete(self) -> None:
        """An answer has left; what is pipelined behind it begins. The time for an idle connection begins too, which `look` keeps."""
        self.server_state.total_requests += 1
        is_direct = self.direct is not None and self.direct is self.cycle
        self.direct = None
        if self.transport.is_closing():
            return
        if self.stage == IDLE:
            self.since = self.loop.time()
            if is_direct:
                self.cycle = None  # type: ignore[assignment] # uvicorn's own begin of a connection
        self.flow.resume_reading()
        if self.pipeline:
            self.flush()
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """The server stops: what is answered is sent, what is being answered may end."""
        self.flush()
        super().shutdown()

    def pause_writing(self) -> None:
        """The peer reads too slowly for what it asked for."""
        super().pause_writing()
        self.stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        super().resume_writing()
        self.stalled_since = None

    def send_400_response(self, msg: str) -> None:
        """Refuses what cannot be read, but never amid another answer: what is being answered is answered first, then closed."""
        del msg
        if self.transport.is_closing():
            return
        if self.stage == _HEAD and self.is_busy():
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self.stage == _HEAD or (self.is_busy() and not self.cycle.response_started and not self.pipeline):
            self.transport.write(_refusal(self.complaint))
        self.transport.close()

    def _reset(self) -> None:
        """Ends the connection and drops what is still to be sent; a mere close leaves that to the kernel, for as long as the peer likes."""
        with self.transport.get_extra_info("socket").dup() as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _may_be_direct(self) -> bool:
        """Whether the request is of the kind that needs nothing of ASGI: a POST, alone, whose body needs no word of ours to come."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if self.pipeline or (cycle is not None and not cycle.response_complete):
            return False
        parser = self.parser
        return bool(
            parser.get_method() == b"POST"
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
        )

    def _length_behind_upgrade(self) -> int:
        """How many bytes belong to a request that wishes to change the protocol; 0 for any other, whose body the parser finds.

        Java's client wishes for HTTP/2 with every request. The parser takes such a request for ended with its head, and its body would be
        the next request. Raises `Ambiguous` for one whose end nobody else knows.
        """
        if not self.parser.should_upgrade():
            return 0
        headers = dict(self.headers)
        if b"transfer-encoding" in headers:
            raise Ambiguous
        return int(headers.get(CONTENT_LENGTH, b"0"))

    def _make_scope(self) -> None:
        """What uvicorn makes for every request before its head is whole."""
        self.expect_100_continue = (b"expect", b"100-continue") in (
            (name, value.lower()) for name, value in self.headers if name == b"expect"
        )
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def _check_head(self) -> None:
        bounds = self.bounds
        if len(self.headers) > bounds.headers_max:
            self.complaint = f"there are more than {bounds.headers_max} headers"
            raise HeadTooLarge
        if self.unheard_bytes <= bounds.head_max_bytes:
            return
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > bounds.head_max_bytes:
            self.complaint = self._too_large()
            raise HeadTooLarge

    def _too_large(self) -> str:
        return f"the headers are larger than {self.bounds.head_max_bytes} bytes"


def _refusal(complaint: str) -> bytes:
    """A whole 400 answer in the error envelope."""
    request_id = "req_" + secrets.token_hex(12)
    error = {"message": complaint, "type": "BadRequestError", "code": "bad_http"}
    body = msgspec.json.encode({"success": False, "status": 400, "error": error, "request_id": request_id})
    head = (
        f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
