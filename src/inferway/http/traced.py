"""The inference route under traces: takes the caller's trace headers, and the status that was answered."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inferway.http.wire import find_header
from inferway.observe.trace import Tracer


class TracedCalls:
    """Wraps a route; there is none of this when nothing is traced."""

    def __init__(self, route: str, inner: ASGIApp, tracer: Tracer) -> None:
        self._route, self._inner, self._tracer = route, inner, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        trace = self._tracer.begin(
            self._route, find_header(scope, b"traceparent"), find_header(scope, b"tracestate")
        )
        # Nobody was there any more to be told a status.
        status = 499

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, watched)
        finally:
            self._tracer.end(trace, status)
