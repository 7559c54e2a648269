"""The outermost ASGI application: checks the Host, sends inference to the hot path and everything else to Starlette."""

import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp

from inferway.errors import BadRequest, GatewayError, NotFound, Unavailable
from inferway.http.exchange import AsgiExchange, Exchange
from inferway.http.inference import internal_error, respond_error
from inferway.http.render import encode, envelope, error_headers, json_headers, server_timing
from inferway.http.wire import Receive, Scope, Send, choose_request_id, request_id_of
from inferway.providers.base import Timing

_log = logging.getLogger("inferway.http")

INFERENCE_PATH = "/v1/inference"


class MethodNotAllowed(GatewayError):
    """The path exists, the method does not."""

    status = 405
    type = "MethodNotAllowedError"


class Answers(Protocol):
    """Answers one inference request, whatever comes of it."""

    def answer(self, exchange: Exchange) -> Coroutine[Any, Any, None]: ...


class AsgiAnswers:
    """The inference endpoint as an ASGI application."""

    def __init__(self, inference: Answers) -> None:
        self._inference = inference

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._inference.answer(AsgiExchange(scope, receive, send))


class Front:
    """Everything a client can reach. `allowed_hosts` is empty for any, else names; `*.example.com` matches subdomains."""

    def __init__(
        self, *, inference: Answers | None, pages: ASGIApp, allowed_hosts: tuple[str, ...] = ()
    ) -> None:
        self._inference = inference
        self._pages = pages
        self._allowed_hosts = tuple(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one connection."""
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        exchange = AsgiExchange(scope, receive, send)
        if scope["path"] == INFERENCE_PATH and scope["method"] == "POST":
            await self.infer(exchange)
            return
        refusal = self._refuse_host(exchange)
        if refusal is not None:
            await respond_error(exchange, refusal, request_id_of(scope), Timing())
        else:
            await self._guarded(scope, receive, send)

    def infer(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answers an inference request."""
        refusal: GatewayError | None = None
        if self._allowed_hosts or exchange.hosts != 1 or not exchange.headers[b"host"]:
            refusal = self._refuse_host(exchange)
        if refusal is None and self._inference is not None:
            return self._inference.answer(exchange)
        request_id = choose_request_id(exchange.headers.get(b"x-request-id"))
        return respond_error(exchange, refusal or _not_ready(), request_id, Timing())

    def _refuse_host(self, exchange: Exchange) -> GatewayError | None:
        host = exchange.headers.get(b"host")
        if exchange.hosts != 1 or not host:
            return BadRequest("exactly one Host header is required", code="bad_host")
        if not self._allowed_hosts:
            return None
        name = _host_name(host.decode("latin-1").lower())
        if any(_matches(name, allowed) for allowed in self._allowed_hosts):
            return None
        return BadRequest("this server does not answer to that Host", code="bad_host")

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        timing = Timing()

        async def watched(message: Any) -> None:
            nonlocal started
            if not started:
                started = True
                headers = [each for each in message["headers"] if each[0] != b"server-timing"]
                message = {**message, "headers": [*headers, server_timing(timing)]}
            await send(message)

        try:
            await self._pages(scope, receive, watched)
        except Exception:  # noqa: BLE001 - the outermost layer: nothing else may answer for a defect
            request_id = request_id_of(scope)
            _log.exception("request %s failed", request_id)
            if not started:
                exchange = AsgiExchange(scope, receive, send)
                await respond_error(exchange, internal_error(request_id), request_id, Timing())


def _not_ready() -> Unavailable:
    return Unavailable("the server is starting; try again", retry_after_s=1)


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0].removesuffix(".")


def _matches(name: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return name.endswith(allowed[1:])
    return name == allowed


Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def pages_app(routes: list[BaseRoute], lifespan: Lifespan | None = None) -> Starlette:
    """The Starlette application behind the hot path, with every error in the envelope."""
    handlers: dict[Any, Any] = {
        HTTPException: _http_exception,
        GatewayError: _gateway_error,
        Exception: _defect,
    }
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    if error.status_code == 405:
        answer = respond_gateway_error(request, MethodNotAllowed(f"{request.method} is not served here"))
        answer.headers["allow"] = ", ".join(sorted(_methods_at(request)))
        return answer
    if error.status_code == 404:
        return respond_gateway_error(
            request, NotFound("there is nothing at this path", code="path_not_found")
        )
    return respond_gateway_error(request, BadRequest(error.detail))


def _methods_at(request: Request) -> set[str]:
    """What is served at a path, by whichever of its routes."""
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 - registered for this class only
    return respond_gateway_error(request, error)


async def _defect(request: Request, _: Exception) -> Response:
    """What is raised is raised again when this is sent, and logged there."""
    return respond_gateway_error(request, internal_error(request_id_of(request.scope)))


def respond_gateway_error(request: Request, error: GatewayError) -> Response:
    """An error in the envelope, of the routes behind the hot path."""
    request_id = request_id_of(request.scope)
    answer = json_response(envelope(error, request_id), request_id, status=error.status)
    answer.raw_headers.extend(error_headers(error))
    return answer


def json_response(value: object, request_id: str, *, status: int = 200) -> Response:
    """A JSON answer of the routes behind the hot path."""
    body = encode(value)
    answer = Response(body, status_code=status)
    answer.raw_headers = json_headers(body, request_id, Timing())
    return answer
