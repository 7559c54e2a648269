"""`POST /v1/inference`: the hot path, a plain ASGI callable."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from inferway.access.gate import require_permission
from inferway.access.records import Caller, Permission
from inferway.errors import GatewayError, InternalError, TooManyRequests, Unavailable
from inferway.http.render import encode, envelope, error_headers, json_headers, standing_headers
from inferway.http.stream import EventStream
from inferway.http.wire import (
    ClientLeft,
    Receive,
    Scope,
    Send,
    find_header,
    read_body,
    request_id_of,
    require_json,
)
from inferway.pipeline.answer import Answer
from inferway.pipeline.life import Pipeline
from inferway.pipeline.ports import Ticket
from inferway.pipeline.request import InferenceRequest, read_request
from inferway.providers.base import Timing
from inferway.types import Standing

_log = logging.getLogger("inferway.http")

_WATCH_AFTER_S = 0.25
"""Most calls are answered sooner; only slower ones pay for a task that watches whether the client is still there."""

_STOPPING_HINT_S = 2.0
"""Another process serves by then, or none does for long."""


class Authenticates(Protocol):
    """Turns the Authorization, X-Namespace and Origin headers into a caller; raises `GatewayError`."""

    async def authenticate(
        self, authorization: bytes | None, namespace: bytes | None, origin: bytes | None = None
    ) -> Caller: ...


class InferenceEndpoint:
    """Authenticates, reads the body, runs the pipeline and renders what comes of it."""

    def __init__(
        self,
        *,
        gate: Authenticates,
        pipeline: Pipeline,
        body_max_bytes: int,
        on_error: Callable[[GatewayError], None] = lambda _: None,
    ) -> None:
        """`on_error` is told of every error that is answered."""
        self._on_error = on_error
        self._gate = gate
        self._pipeline = pipeline
        self._body_max_bytes = body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; every failure becomes an envelope."""
        timing = Timing()
        request_id = request_id_of(scope)
        caller: Caller | None = None
        ticket: Ticket | None = None
        try:
            caller = await self._gate.authenticate(
                find_header(scope, b"authorization"),
                find_header(scope, b"x-namespace"),
                find_header(scope, b"origin"),
            )
            require_permission(caller, Permission.WRITE)
            require_json(scope)
            request = read_request(await read_body(scope, receive, self._body_max_bytes))
            ticket = await self._pipeline.admit(caller)
            try:
                await self._serve(request, _Exchange(receive, send, request_id, timing, caller, ticket))
            finally:
                await ticket.release()
        except ClientLeft:
            return
        except GatewayError as error:
            self._on_error(error)
            standing = await self._standing(caller, ticket, error)
            await respond_error(send, error, request_id, timing, standing)
        except Exception:  # noqa: BLE001 - the outermost layer: nothing else may answer for a defect
            _log.exception("request %s failed", request_id)
            defect = internal_error(request_id)
            self._on_error(defect)
            await respond_error(send, defect, request_id, timing, ticket.standing() if ticket else None)

    async def _standing(
        self, caller: Caller | None, ticket: Ticket | None, error: GatewayError
    ) -> Standing | None:
        """What a failed call's caller is told about its limit: the one that refused, else the one it stands under."""
        if isinstance(error, TooManyRequests) and error.standing is not None:
            return error.standing
        if ticket is not None:
            return ticket.standing()
        return None if caller is None else await self._pipeline.standing(caller)

    async def _serve(self, request: InferenceRequest, exchange: "_Exchange") -> None:
        if request.stream and not request.dry_run:
            await self._stream(request, exchange)
            return
        answer = await _while_connected(self._infer(request, exchange), exchange.receive, _WATCH_AFTER_S)
        body = encode(answer)
        headers = json_headers(body, exchange.request_id, exchange.timing)
        headers.extend(standing_headers(exchange.ticket.standing()))
        await _respond(exchange.send, 200, headers, body)

    def _infer(
        self, request: InferenceRequest, exchange: "_Exchange", sink: EventStream | None = None
    ) -> Coroutine[Any, Any, Answer]:
        return self._pipeline.infer(
            request,
            exchange.caller,
            ticket=exchange.ticket,
            request_id=exchange.request_id,
            timing=exchange.timing,
            sink=sink,
        )

    async def _stream(self, request: InferenceRequest, exchange: "_Exchange") -> None:
        request_id = exchange.request_id
        stream = EventStream(exchange.send, request_id, exchange.timing, exchange.ticket.standing)
        heart = asyncio.create_task(stream.beat())
        job = self._infer(request, exchange, stream)
        try:
            answer = await _while_connected(job, exchange.receive, 0)
        except GatewayError as error:
            await _end(heart)
            if not stream.started:
                raise
            await stream.error(error)
            return
        except ClientLeft:
            await _end(heart)
            raise
        except Exception:
            await _end(heart)
            if not stream.started:
                raise
            _log.exception("request %s failed", request_id)
            await stream.error(internal_error(request_id))
            return
        finally:
            heart.cancel()
        await _end(heart)
        await stream.done(answer)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request that was admitted, and the way back."""

    receive: Receive
    send: Send
    request_id: str
    timing: Timing
    caller: Caller
    ticket: Ticket


async def _end(task: asyncio.Task[None]) -> None:
    """End a background task before anything else is written."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _while_connected(
    job: Coroutine[Any, Any, Answer], receive: Receive, watch_after_s: float
) -> Answer:
    """Run a job in this task; a client that leaves cancels it, and `ClientLeft` is raised.

    Any other cancellation means that the server stops and this call's time is up, which its caller is told.
    """
    watch = _Watch(receive, asyncio.current_task())
    timer = asyncio.get_running_loop().call_later(watch_after_s, watch.begin)
    try:
        return await job
    except asyncio.CancelledError:
        if watch.client_left:
            raise ClientLeft from None
        raise Unavailable(
            "the server is stopping; try again", code="stopping", retry_after_s=_STOPPING_HINT_S
        ) from None
    finally:
        timer.cancel()
        watch.end()


class _Watch:
    """Waits for the client's disconnect and cancels the task that works for it."""

    def __init__(self, receive: Receive, worker: asyncio.Task[Any] | None) -> None:
        self._receive = receive
        self._worker = worker
        self._task: asyncio.Task[None] | None = None
        self.client_left = False

    def begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._wait())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self.client_left and self._worker is not None:
            self._worker.uncancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._worker is not None:
            self.client_left = True
            self._worker.cancel()


def internal_error(request_id: str) -> InternalError:
    """The answer to a defect of ours."""
    return InternalError(f"an internal error occurred; quote request {request_id}")


async def respond_error(
    send: Send,
    error: GatewayError,
    request_id: str,
    timing: Timing | None = None,
    standing: Standing | None = None,
) -> None:
    """Send an error in the envelope."""
    body = encode(envelope(error, request_id))
    headers = [*json_headers(body, request_id, timing), *error_headers(error), *standing_headers(standing)]
    await _respond(send, error.status, headers, body)


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
