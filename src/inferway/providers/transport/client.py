"""The transport that calls use: sends a request over a kept or new connection and gives the whole answer or a stream of it."""

import asyncio
import ssl
from time import monotonic
from types import TracebackType
from typing import NoReturn, Self

from msgspec import Struct

from inferway.errors import ProviderBadAnswer, ProviderLost, ProviderTimeout
from inferway.providers.base import Headers, WireRequest, WireResponse
from inferway.providers.transport.connection import Answer, Connection, ConnectionDropped
from inferway.providers.transport.limits import Limits
from inferway.providers.transport.message import Address, parse_route
from inferway.providers.transport.pool import Pool
from inferway.providers.transport.trust import tls_context
from inferway.types import Deadline

_KNOWN_ROUTES = 1_024
_RACE_S = 5.0
"""A server that closes a kept connection just as we write is noticed sooner; later it has worked on the request, and may bill it."""
_LOST = "The connection to the provider was lost before an answer came."


class HttpTransport:
    """Implements `Transport` on asyncio and httptools.

    `ca_file` is a PEM bundle to be trusted besides the system's. Connections belong to the event loop that made them: a transport used
    in another loop starts afresh there.
    """

    def __init__(self, *, limits: Limits | None = None, ca_file: str | None = None) -> None:
        self._limits = limits or Limits()
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._pool: Pool | None = None
        self._addresses: dict[str, Address] = {}

    async def send(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> WireResponse:
        """Send a request and give the whole answer, of any status."""
        pool = self._current_pool()
        exchange = _Exchange(pool, self._address(url), deadline)
        if not pool.find_slot():
            await pool.wait_for_slot(deadline)
        try:
            answer = await exchange.begin(request, headers, self._limits.body_bytes, streaming=False)
        finally:
            exchange.end()
        return WireResponse(status=answer.status, headers=answer.headers, body=plain_body(answer))

    def open(self, url: str, request: WireRequest, headers: Headers, deadline: Deadline) -> "OpenedStream":
        """Send a request; entered, it gives the answer as soon as its headers are there. Leaving it early hangs up."""
        limits = self._limits
        pool = self._current_pool()
        bounded = Deadline.after(min(limits.stream_s, deadline.remaining_s()))
        return OpenedStream(
            _Exchange(pool, self._address(url), bounded), request, headers, limits.stream_bytes
        )

    async def aclose(self) -> None:
        """Hang up on every connection; the transport may be used again."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        if pool.loop is asyncio.get_running_loop():
            pool.close()
            # The loop tells connections about their end in its next round.
            await asyncio.sleep(0)

    def _current_pool(self) -> Pool:
        loop = asyncio.get_running_loop()
        if self._pool is None or self._pool.loop is not loop:
            if self._tls is None:
                self._tls = tls_context(self._ca_file)
            self._pool = Pool(loop, self._limits, self._tls)
        return self._pool

    def _address(self, url: str) -> Address:
        address = self._addresses.get(url)
        if address is None:
            address = Address(parse_route(url))
            if len(self._addresses) >= _KNOWN_ROUTES:
                self._addresses.clear()
            self._addresses[url] = address
        return address


class _Exchange(Struct, eq=False):
    """One request and its answer: which connection carries it, and when it must be over."""

    pool: Pool
    address: Address
    deadline: Deadline
    connection: Connection | None = None
    answer: Answer | None = None

    async def wait_for_slot(self) -> None:
        """Wait until this call may go out; `end` must follow."""
        if not self.pool.find_slot():
            await self.pool.wait_for_slot(self.deadline)

    async def begin(
        self, request: WireRequest, headers: Headers, max_bytes: int, *, streaming: bool
    ) -> Answer:
        """Send, and wait for the whole answer or, when streaming, for its head.

        A kept connection may have been closed by the server just as we wrote. When that shows at once and no byte came back, the request
        goes out once more, on a new connection.
        """
        head = self.address.head(request, headers)
        origin = self.address.route.origin
        connection = self.pool.find_idle(origin)
        while True:
            if self.deadline.remaining_s() <= 0:
                raise ProviderTimeout("The deadline passed before the provider could be asked.")
            if connection is None:
                connection = await self.pool.dial(origin, self.deadline)
            self.connection = connection
            was_used, sent_at = connection.used, monotonic()
            self.answer = answer = connection.start(
                head, request.body, max_bytes=max_bytes, streaming=streaming, outbox=self.pool.outbox()
            )
            self.pool.guard(connection, self.deadline)
            await answer.future
            # What a stream brought before it broke reaches its reader first.
            if answer.error is None or (streaming and answer.parts):
                return answer
            was_raced = was_used and monotonic() - sent_at < _RACE_S
            if not (was_raced and isinstance(answer.error, ConnectionDropped)):
                raise_failure(answer.error)
            self._let_go()
            connection = None

    def end(self) -> None:
        """Keep the connection when the answer is complete, else hang up; then let the next call go out."""
        self._let_go()
        self.pool.free_slot()

    async def next_chunk(self) -> bytes | None:
        """The next piece of a stream's body, or None at its end."""
        answer, connection = self.answer, self.connection
        if answer is None or connection is None:
            raise RuntimeError("the stream is closed")
        while not answer.parts:
            if answer.error is not None:
                raise_failure(answer.error)
            if answer.complete:
                return None
            answer.future = self.pool.loop.create_future()
            await answer.future
        return connection.take(answer)

    def _let_go(self) -> None:
        if self.connection is not None:
            # An answer that came whole in the usual form says nothing of it.
            keep_alive = self.answer.parsed.get("keep-alive") if self.answer is not None else None
            self.pool.give_back(self.address.route.origin, self.connection, keep_alive)
            self.connection = None


class OpenedStream:
    """A streaming answer, as a context manager; implements `WireStream`. It is read once, by `chunks` or by `read`."""

    def __init__(self, exchange: _Exchange, request: WireRequest, headers: Headers, max_bytes: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._exchange = exchange
        self._request = request
        self._request_headers = headers
        self._max_bytes = max_bytes
        self._is_encoded = False

    async def __aenter__(self) -> Self:
        exchange = self._exchange
        await exchange.wait_for_slot()
        try:
            answer = await exchange.begin(
                self._request, self._request_headers, self._max_bytes, streaming=True
            )
            self._is_encoded = is_encoded(answer)
            refuse_encoded(answer)
        except BaseException:
            exchange.end()
            raise
        self.status, self.headers = answer.status, answer.parsed
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange.end()

    def chunks(self) -> Self:
        """The body as it comes, in pieces of any size."""
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._exchange.next_chunk()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def read(self) -> bytes:
        """The whole body; empty for an error answer that came encoded."""
        body = b"".join([chunk async for chunk in self])
        return b"" if self._is_encoded else body


def is_encoded(answer: Answer) -> bool:
    """Whether the body has a content coding, all of which we said we do not take."""
    coding = answer.parsed.get("content-encoding")
    return coding is not None and coding.strip().lower() not in ("", "identity")


def refuse_encoded(answer: Answer) -> None:
    """Raises `ProviderBadAnswer` for a 2xx answer that came encoded."""
    if answer.status < 300 and is_encoded(answer):
        raise ProviderBadAnswer("The provider's answer is encoded, which was not asked for.")


def plain_body(answer: Answer) -> bytes:
    """The body, or nothing for an error whose body came encoded: its status still tells. A 2xx that came encoded is refused."""
    if answer.parsed and answer.body_bytes and is_encoded(answer):
        refuse_encoded(answer)
        return b""
    return answer.body()


def raise_failure(error: Exception) -> NoReturn:
    """Raise what ended an answer; a dropped connection becomes a lost one, not retryable, since the request had gone out."""
    if isinstance(error, ConnectionDropped):
        raise ProviderLost(_LOST, retryable=False) from None
    raise error
