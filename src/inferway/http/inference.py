"""`POST /v1/inference`: the hot path, a plain ASGI callable."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from inferway.access.gate import require_permission
from inferway.access.records import Caller, Permission
from inferway.errors import GatewayError, InternalError, Unavailable
from inferway.http.render import encode, envelope, error_headers, json_headers
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
from inferway.pipeline.request import InferenceRequest, read_request
from inferway.providers.base import Timing

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

    def __init__(self, *, gate: Authenticates, pipeline: Pipeline, body_max_bytes: int) -> None:
        self._gate = gate
        self._pipeline = pipeline
        self._body_max_bytes = body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; every failure becomes an envelope."""
        timing = Timing()
        request_id = request_id_of(scope)
        try:
            caller = await self._admit(scope)
            request = read_request(await read_body(scope, receive, self._body_max_bytes))
            if request.stream and not request.dry_run:
                await self._stream(request, caller, request_id, timing, receive, send)
                return
            job = self._pipeline.infer(request, caller, request_id=request_id, timing=timing)
            answer = await _while_connected(job, receive, _WATCH_AFTER_S)
            body = encode(answer)
            await _respond(send, 200, json_headers(body, request_id, timing), body)
        except ClientLeft:
            return
        except GatewayError as error:
            await respond_error(send, error, request_id, timing)
        except Exception:  # noqa: BLE001 - the outermost layer: nothing else may answer for a defect
            _log.exception("request %s failed", request_id)
            await respond_error(send, internal_error(request_id), request_id, timing)

    async def _admit(self, scope: Scope) -> Caller:
        caller = await self._gate.authenticate(
            find_header(scope, b"authorization"),
            find_header(scope, b"x-namespace"),
            find_header(scope, b"origin"),
        )
        require_permission(caller, Permission.WRITE)
        require_json(scope)
        return caller

    async def _stream(
        self,
        request: InferenceRequest,
        caller: Caller,
        request_id: str,
        timing: Timing,
        receive: Receive,
        send: Send,
    ) -> None:
        stream = EventStream(send, request_id, timing)
        heart = asyncio.create_task(stream.beat())
        job = self._pipeline.infer(request, caller, request_id=request_id, timing=timing, sink=stream)
        try:
            answer = await _while_connected(job, receive, 0)
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
    send: Send, error: GatewayError, request_id: str, timing: Timing | None = None
) -> None:
    """Send an error in the envelope."""
    body = encode(envelope(error, request_id))
    headers = [*json_headers(body, request_id, timing), *error_headers(error)]
    await _respond(send, error.status, headers, body)


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
