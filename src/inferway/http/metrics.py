"""Metrics over HTTP: counting the requests of other routes, the admin's page, and the page of a port of its own."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Generator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from inferway.http.front import pages_app
from inferway.http.wire import request_id_of

PATH = "/metrics"
Scrape = Callable[[str], tuple[str, bytes]]
"""Makes the page for an Accept header: content type and body. It may take some milliseconds."""
Served = Callable[[str, str, int, float], None]
"""Takes the path's pattern, the method, the status and the seconds of a request."""

OTHER = "other"
_AT_ONCE = 32
_METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())


class CountedPages:
    """The routes beside inference, each request counted. Patterns are labels, paths never."""

    def __init__(self, pages: Starlette, served: Served) -> None:
        self._pages, self._served = pages, served
        self.routes = pages.routes
        routes = [route for route in pages.routes if isinstance(route, Route)]
        self._plain = frozenset(route.path for route in routes if "{" not in route.path)
        self._patterns: dict[object, str] = {route.endpoint: route.path for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pages(scope, receive, watched)
        finally:
            path = scope["path"]
            pattern = path if path in self._plain else self._patterns.get(scope.get("endpoint"), OTHER)
            method = scope["method"] if scope["method"] in _METHODS else OTHER
            self._served(pattern, method, status, time.perf_counter() - started)


async def respond_metrics(request: Request, scrape: Scrape) -> Response:
    """The page, in the format that the scraper asks for."""
    content_type, body = await asyncio.to_thread(scrape, request.headers.get("accept", ""))
    answer = Response(body)
    answer.headers["content-type"] = content_type
    answer.headers["x-request-id"] = request_id_of(request.scope)
    answer.headers["cache-control"] = "no-store"
    answer.headers["x-content-type-options"] = "nosniff"
    return answer


@contextlib.asynccontextmanager
async def metrics_served(bound: socket.socket, scrape: Scrape) -> AsyncIterator[None]:
    """Serves the page, and nothing else, on a socket of its own within the block."""

    async def answer(request: Request) -> Response:
        return await respond_metrics(request, scrape)

    config = uvicorn.Config(
        pages_app([Route(PATH, answer)]),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=1,
    )
    server = _Beside(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)


class _Beside(uvicorn.Server):
    """A server that leaves the signals to the one beside it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
