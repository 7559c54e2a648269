"""The inference route under traces: takes the caller's trace headers, and the status that was answered."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from inferway.http.exchange import Exchange
from inferway.http.front import Answers
from inferway.http.render import Header
from inferway.observe.trace import Tracer

_NOBODY_THERE = 499
"""Told where the client left before it was answered."""


class TracedCalls:
    """Wraps a route; there is none of this when nothing is traced."""

    def __init__(self, route: str, inner: Answers, tracer: Tracer) -> None:
        self._route, self._inner, self._tracer = route, inner, tracer

    async def answer(self, exchange: Exchange) -> None:
        """Answers one request."""
        headers = exchange.headers
        trace = self._tracer.begin(self._route, headers.get(b"traceparent"), headers.get(b"tracestate"))
        watched = _Watched(exchange)
        try:
            await self._inner.answer(watched)
        finally:
            self._tracer.end(trace, watched.status)


class _Watched:
    """An exchange that remembers the status of its answer."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.hosts = exchange.hosts
        self.status = _NOBODY_THERE

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        return self._exchange.headers

    @property
    def client(self) -> Any:
        return self._exchange.client

    def send(self, message: Any, /) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        return self._exchange.send(message)

    async def read_body(self, max_bytes: int) -> bytes:
        return await self._exchange.read_body(max_bytes)

    async def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        self.status = status
        await self._exchange.respond(status, headers, body)

    def watch(self, after_s: float) -> None:
        self._exchange.watch(after_s)

    def unwatch(self) -> bool:
        return self._exchange.unwatch()

    def persist(self) -> None:
        self._exchange.persist()
