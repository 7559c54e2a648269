"""One HTTP/1.1 connection to a provider: writes a request, reads its answer, and knows whether it may serve another."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from io import BytesIO
from math import inf
from typing import Any

import httptools
from msgspec import Struct

from inferway.errors import ProviderBadAnswer, ProviderTimeout, ProviderTls
from inferway.outbox import Outbox
from inferway.providers.transport.limits import Limits
from inferway.providers.transport.whole import SentHeaders, find_whole

_LARGE_BODY = 64 * 1024
_DIRECT_BODY = 128 * 1024
_BUFFER_HIGH = 256 * 1024
_BUFFER_LOW = 64 * 1024
_FRAMING_BYTES = 1024 * 1024
_TIMED_OUT = "The provider did not answer completely by the deadline."


class ConnectionDropped(Exception):
    """The connection ended after the request was written and before any byte of an answer."""


class Answer(Struct, eq=False):
    """One answer while it arrives. `future` ends when it is complete, or for a stream when its head is there.

    `lines` are the headers of an answer that arrived whole in the usual form; those of any other are `parsed`.
    """

    future: asyncio.Future[None]
    max_bytes: int
    streaming: bool
    lines: bytes = b""
    parsed: dict[str, str] = {}
    parts: list[bytes] = []
    status: int = 0
    large: BytesIO | None = None
    received: int = 0
    body_bytes: int = 0
    expected: int = 0
    buffered: int = 0
    head_bytes: int = 0
    head_done: bool = False
    until_close: bool = False
    complete: bool = False
    keep_alive: bool = False
    error: Exception | None = None

    def wake(self) -> None:
        """Let the reader look again."""
        if not self.future.done():
            self.future.set_result(None)

    def fail(self, error: Exception) -> None:
        """End this answer with an error, unless it has ended."""
        if self.complete or self.error is not None:
            return
        self.error = error
        self.wake()

    def finish(self) -> None:
        """Say that the whole answer is there."""
        self.complete = True
        self.wake()

    def body(self) -> bytes:
        """The whole body of a complete answer that was not read as a stream."""
        if self.large is not None:
            # Not a copy, as long as nobody looks into the buffer any more: hence not before the reader asks.
            return self.large.getvalue()
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by name, in lower case."""
        return SentHeaders(self.lines) if self.lines else self.parsed

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.complete or self.error is not None


class Connection(asyncio.BufferedProtocol):
    """The protocol side of a connection. At most one answer is awaited at a time: requests are never pipelined.

    `scratch` is where the loop puts what arrives; connections of one loop share it, since what it holds is used up at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, scratch: memoryview) -> None:
        self.closed = False
        self.used = False
        self.idle_until = 0.0
        self.due = inf
        self._loop = loop
        self._limits = limits
        self._transport: Any = None
        self._answer: Answer | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._interim = False
        self._paused = False
        self._spoilt = False
        self._unsent: tuple[bytes, bytes] | None = None
        self._scratch = scratch
        self._large: BytesIO | None = None
        self._large_rest: memoryview | None = None

    async def ready(self) -> None:
        """Wait until requests may be written; raises OSError."""

    def start(
        self, head: bytes, body: bytes, *, max_bytes: int, streaming: bool, outbox: Outbox | None = None
    ) -> Answer:
        """Write a request, with others when there is an outbox, and give the answer that will fill as it arrives."""
        self.used = True
        self._answer = answer = Answer(self._loop.create_future(), max_bytes, streaming)
        if outbox is None or len(body) >= _LARGE_BODY:
            self._write(head, body)
        else:
            self._unsent = (head, body)
            outbox.put(self)
        return answer

    def flush(self) -> None:
        """Write the request that was held back, unless the connection has ended meanwhile."""
        unsent, self._unsent = self._unsent, None
        if unsent is not None and not self.closed:
            self._write(*unsent)

    def _write(self, head: bytes, body: bytes) -> None:
        if len(body) < _LARGE_BODY:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def expire(self) -> None:
        """The deadline has come: fail what is awaited and hang up."""
        if self._answer is not None:
            self._answer.fail(ProviderTimeout(_TIMED_OUT))
        self.abort()

    def abort(self) -> None:
        """Hang up at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def is_reusable(self) -> bool:
        """Whether another request may follow: the answer is complete and so is what we sent, and both sides keep the connection."""
        answer = self._answer
        if answer is None or not answer.complete or not answer.keep_alive or self._spoilt or self.closed:
            return False
        if self._unsent is not None:
            return False
        return self._transport.get_write_buffer_size() == 0 and not self._transport.is_closing()

    def rest(self) -> None:
        """Forget the last answer; whatever arrives from now on was not asked for."""
        self._answer = None
        if self._paused:
            self.resume()

    def resume(self) -> None:
        """Go on reading after the reader has caught up."""
        if self._paused and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    def take(self, answer: Answer) -> bytes:
        """What has arrived of the body and was not taken yet."""
        parts = answer.parts
        chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        answer.parts = []
        answer.buffered = 0
        self.resume()
        return chunk

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.closed:
            transport.abort()  # type: ignore[attr-defined]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's name
        return self._scratch if self._large_rest is None else self._large_rest

    def buffer_updated(self, nbytes: int) -> None:
        if self._large_rest is None:
            self.feed(self._scratch[:nbytes])
        else:
            self.fill(nbytes)

    def feed(self, data: memoryview) -> None:
        """Read on in the answer."""
        answer = self._answer
        if answer is None or answer.ended:
            # A server that speaks out of turn (often 408 before it closes) is not to be trusted with the next request.
            self._spoilt = True
            self.abort()
            return
        if self._unsent is not None:
            # No answer to what has not been asked; nothing was sent, so another connection can take it.
            self._spoilt = True
            answer.fail(ConnectionDropped())
            self.abort()
            return
        if answer.received or answer.streaming or not self._take_whole(answer, data):
            self._parse(answer, data)

    def _parse(self, answer: Answer, data: memoryview) -> None:
        answer.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse("The provider's answer is not valid HTTP.")
            return
        if not answer.head_done:
            if answer.received > self._limits.head_bytes:
                self._refuse("The provider's answer has headers that are too large.")
        elif answer.body_bytes > answer.max_bytes or answer.received > 8 * answer.max_bytes + _FRAMING_BYTES:
            self._refuse("The provider's answer is too large.")
        elif answer.streaming:
            if answer.buffered:
                self._hold_back(answer)
                answer.wake()
        elif answer.expected - answer.body_bytes > _DIRECT_BODY:
            self._read_directly(answer)

    def _take_whole(self, answer: Answer, data: memoryview) -> bool:
        """Takes an answer that arrived at once and in the usual form past the parser, which stands between two answers before and after."""
        whole = find_whole(data, self._limits.head_bytes)
        if whole is None or len(whole.body) > answer.max_bytes:
            return False
        answer.received = len(data)
        answer.status, answer.lines = whole.status, whole.lines
        answer.body_bytes = len(whole.body)
        answer.parts.append(whole.body)
        answer.head_done = answer.keep_alive = True
        answer.finish()
        return True

    def _hold_back(self, answer: Answer) -> None:
        """Stop reading while the reader of a stream is far behind."""
        if answer.buffered > _BUFFER_HIGH and not self._paused and not answer.ended:
            self._paused = True
            self._transport.pause_reading()

    def _read_directly(self, answer: Answer) -> None:
        """Let the rest of a large body arrive in its final place: copies of megabytes cost more than all else in a call."""
        self._large = BytesIO(bytes(answer.expected))
        place = self._large.getbuffer()
        begun = b"".join(answer.parts)
        place[: len(begun)] = begun
        answer.parts = []
        self._large_rest = place[len(begun) :]

    def fill(self, nbytes: int) -> None:
        """Take note of bytes that arrived in the place of a large body."""
        answer, rest = self._answer, self._large_rest
        if answer is None or rest is None or self._large is None:
            return
        answer.received += nbytes
        answer.body_bytes += nbytes
        # The views are dropped, not released: the loop still holds one while it tells us.
        if nbytes < len(rest):
            self._large_rest = rest[nbytes:]
            return
        self._large_rest = None
        answer.large, self._large = self._large, None
        # The parser has not seen the end of this answer, so the next one needs another.
        self._parser = httptools.HttpResponseParser(self)
        answer.finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._large_rest is not None:
            self._large_rest = self._large = None
        answer = self._answer
        if answer is None or answer.ended:
            return
        if answer.until_close and exc is None and self._is_clean_end():
            answer.finish()
        elif answer.received:
            answer.fail(ProviderBadAnswer("The provider's answer broke off."))
        elif isinstance(exc, ssl.SSLError):
            answer.fail(ProviderTls("The provider ended the connection with a TLS error."))
        else:
            answer.fail(ConnectionDropped())

    def _is_clean_end(self) -> bool:
        """Whether the end of the connection can be taken for the end of an answer without a length."""
        return True

    def break_off(self, error: Exception) -> None:
        """End the connection, and what is awaited on it, because of an error."""
        Connection.connection_lost(self, error)
        self.abort()

    def _refuse(self, message: str) -> None:
        if self._answer is not None:
            self._answer.fail(ProviderBadAnswer(message))
        self.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.head_done:
            self._spoilt = True

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer is None or answer.head_done:
            return
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        answer.head_bytes += len(name) + len(value) + 4
        headers = answer.parsed
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None or answer.head_done:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim:
            answer.parsed.clear()
            return
        answer.status = status
        answer.head_done = True
        answer.keep_alive = self._parser.should_keep_alive()
        self._check_framing(answer)
        if answer.streaming:
            answer.wake()

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        if answer is None or self._spoilt:
            return
        size = len(body)
        answer.body_bytes += size
        answer.buffered += size
        answer.parts.append(body)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        answer = self._answer
        if answer is None or answer.complete or answer.error is not None:
            return
        answer.complete = True
        if not answer.future.done():
            answer.future.set_result(None)

    def _check_framing(self, answer: Answer) -> None:
        """Refuse at once what cannot end well: a body that is announced too large, a transfer coding we did not ask for."""
        if answer.head_bytes > self._limits.head_bytes:
            answer.fail(ProviderBadAnswer("The provider's answer has headers that are too large."))
        coding = answer.parsed.get("transfer-encoding")
        length = answer.parsed.get("content-length")
        if coding is not None:
            if coding.strip().lower() != "chunked":
                answer.fail(
                    ProviderBadAnswer("The provider's answer has a transfer coding that was not asked for.")
                )
        elif length is None:
            answer.until_close = answer.status not in (204, 304)
        elif answer.status not in (204, 304) and length.isdecimal():
            answer.expected = int(length[:20])
            if answer.expected > answer.max_bytes:
                answer.fail(ProviderBadAnswer("The provider's answer is too large."))
