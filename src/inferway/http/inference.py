"""`POST /v1/inference`: the hot path."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from inferway.access.gate import require_permission
from inferway.access.records import Caller, Permission
from inferway.errors import GatewayError, InternalError, TooManyRequests, Unavailable
from inferway.http.exchange import AsgiExchange, Exchange
from inferway.http.render import Header, encode, envelope, error_headers, json_headers, standing_headers
from inferway.http.replay import REPLAYED, first_request_id, stream_again
from inferway.http.strangers import Doorkeeper
from inferway.http.stream import EventStream
from inferway.http.wire import ClientLeft, Receive, Scope, Send, choose_request_id, require_json_type
from inferway.pipeline.answer import Answer
from inferway.pipeline.life import Pipeline
from inferway.pipeline.once import Kept, Once, Turn, read_key, with_time
from inferway.pipeline.ports import Ticket
from inferway.pipeline.request import InferenceRequest, read_request
from inferway.providers.base import Timing
from inferway.types import Standing

_log = logging.getLogger("inferway.http")

_WATCH_AFTER_S = 0.25
"""Most calls are answered sooner: where watching for a client that leaves costs something, only slower ones pay."""

_STOPPING_HINT_S = 2.0
"""Another process serves by then, or none does for long."""


class Authenticates(Protocol):
    """Turns the Authorization, X-Namespace and Origin headers into a caller; raises `GatewayError`."""

    def find(self, authorization: bytes | None, namespace: bytes | None) -> Caller | None:
        """A caller who is known already and may come from anywhere; None: `authenticate` knows."""
        ...

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
        once: Once | None = None,
        on_error: Callable[[GatewayError], None] = lambda _: None,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        """`on_error` is told of every error that is answered; `doorkeeper` judges those who send bad keys."""
        self._on_error = on_error
        self._doorkeeper = doorkeeper
        self._gate = gate
        self._pipeline = pipeline
        self._once = once
        self._body_max_bytes = body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request that came by ASGI."""
        await self.answer(AsgiExchange(scope, receive, send))

    async def answer(self, exchange: Exchange) -> None:
        """Answers one request; every failure becomes an envelope."""
        timing = Timing()
        headers = exchange.headers
        request_id = choose_request_id(headers.get(b"x-request-id"))
        caller: Caller | None = None
        ticket: Ticket | None = None
        try:
            authorization, namespace = headers.get(b"authorization"), headers.get(b"x-namespace")
            caller = self._gate.find(authorization, namespace)
            if caller is None:
                caller = await self._gate.authenticate(authorization, namespace, headers.get(b"origin"))
            require_permission(caller, Permission.WRITE)
            require_json_type(headers.get(b"content-type"), headers.get(b"content-encoding"))
            key = headers.get(b"idempotency-key")
            if key is not None:
                key = read_key(key)
            body = await exchange.read_body(self._body_max_bytes)
            request = read_request(body)
            ticket = await self._pipeline.admit(caller)
            try:
                call = _Call(exchange, request_id, timing, caller, ticket)
                if key is None or self._once is None or request.dry_run:
                    await self._serve(request, call)
                else:
                    await self._serve_once(request, call, self._once, key, body)
            finally:
                if not ticket.is_released:
                    await ticket.release()
        except ClientLeft as left:
            _forget_frames(left)
        except GatewayError as refusal:
            error = refusal
            _forget_frames(refusal)
            if caller is None and self._doorkeeper is not None:
                error = self._doorkeeper.judge(refusal, exchange.client, headers.get(b"x-forwarded-for"))
            self._on_error(error)
            standing = await self._standing(caller, ticket, error)
            await respond_error(exchange, error, request_id, timing, standing)
        except Exception:  # noqa: BLE001 - the outermost layer: nothing else may answer for a defect
            _log.exception("request %s failed", request_id)
            defect = internal_error(request_id)
            self._on_error(defect)
            await respond_error(exchange, defect, request_id, timing, ticket.standing() if ticket else None)

    async def _standing(
        self, caller: Caller | None, ticket: Ticket | None, error: GatewayError
    ) -> Standing | None:
        """What a failed call's caller is told about its limit: the one that refused, else the one it stands under."""
        if isinstance(error, TooManyRequests) and error.standing is not None:
            return error.standing
        if ticket is not None:
            return ticket.standing()
        return None if caller is None else await self._pipeline.standing(caller)

    async def _serve(self, request: InferenceRequest, call: "_Call") -> None:
        if request.stream and not request.dry_run:
            await self._stream(request, call)
            return
        exchange = call.exchange
        exchange.watch(_WATCH_AFTER_S)
        try:
            answer = await self._infer(request, call)
        except asyncio.CancelledError:
            raise _interruption(exchange) from None
        finally:
            exchange.unwatch()
        await _answer(call, encode(answer))

    async def _serve_once(
        self, request: InferenceRequest, call: "_Call", once: Once, key: bytes, body: bytes
    ) -> None:
        """Serve a call that has a key: run it, unless it has been answered already or runs somewhere."""
        deadline = self._pipeline.deadline_of(request)
        call.exchange.watch(_WATCH_AFTER_S)
        try:
            began = await once.begin(call.caller, key, body, deadline)
        except asyncio.CancelledError:
            raise _interruption(call.exchange) from None
        finally:
            call.exchange.unwatch()
        if isinstance(began, Kept):
            await self._replay(request, call, once, began)
            return
        try:
            await self._serve_first(with_time(request, deadline), replace(call, turn=began), began)
        except asyncio.CancelledError:
            raise _interruption(call.exchange) from None
        finally:
            await began.close()

    async def _serve_first(self, request: InferenceRequest, call: "_Call", turn: Turn) -> None:
        """It goes on when the client leaves: whoever asks again gets the answer that was paid for."""
        call.exchange.persist()
        if request.stream:
            await self._stream(request, call)
            return
        answer = await self._infer(request, call)
        kept = await turn.keep(_kept(request, answer))
        await _answer(call, kept.body)

    async def _replay(self, request: InferenceRequest, call: "_Call", once: Once, kept: Kept) -> None:
        request_id, timing = call.request_id, call.timing
        await once.settle_replay(kept, call.caller, request, request_id=request_id, timing=timing)
        if not request.stream:
            await _answer(call, kept.body, REPLAYED)
            return
        standing, told_id = call.ticket.standing, first_request_id(kept)
        stream = EventStream(call.exchange.send, request_id, timing, standing, (REPLAYED,), told_id)
        await stream_again(stream, kept)

    def _infer(
        self, request: InferenceRequest, call: "_Call", sink: EventStream | None = None
    ) -> Coroutine[Any, Any, Answer]:
        return self._pipeline.infer(
            request,
            call.caller,
            ticket=call.ticket,
            request_id=call.request_id,
            timing=call.timing,
            sink=sink,
        )

    async def _stream(self, request: InferenceRequest, call: "_Call") -> None:
        request_id, exchange = call.request_id, call.exchange
        stream = EventStream(exchange.send, request_id, call.timing, call.ticket.standing)
        heart = asyncio.create_task(stream.beat())
        if call.turn is None:
            exchange.watch(0)
        try:
            answer = await self._infer(request, call, stream)
            kept = None if call.turn is None else await call.turn.keep(_kept(request, answer))
        except asyncio.CancelledError:
            interruption = _interruption(exchange)
            await _end(heart)
            if isinstance(interruption, ClientLeft) or not stream.started:
                raise interruption from None
            await stream.error(interruption)
            return
        except GatewayError as error:
            await _end(heart)
            if not stream.started:
                raise
            _forget_frames(error)
            await stream.error(error)
            return
        except Exception:
            await _end(heart)
            if not stream.started:
                raise
            _log.exception("request %s failed", request_id)
            await stream.error(internal_error(request_id))
            return
        finally:
            heart.cancel()
            exchange.unwatch()
        await _end(heart)
        if kept is None:
            await stream.done(answer)
        else:
            await stream.done_with(kept.body, kept.provider, kept.model)


class _Call(Struct, frozen=True):
    """One request that was admitted, and the way back."""

    exchange: Exchange
    request_id: str
    timing: Timing
    caller: Caller
    ticket: Ticket
    turn: Turn | None = None


async def _end(task: asyncio.Task[None]) -> None:
    """End a background task before anything else is written."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _forget_frames(error: BaseException | None) -> None:
    """Frames hold the body, and some of them the error: such a ring stays in memory until the collector of cycles comes by."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


def _interruption(exchange: Exchange) -> ClientLeft | Unavailable:
    """What a cancellation means: the client has left, or the server stops and this call's time is up, which its caller is told."""
    if exchange.unwatch():
        return ClientLeft()
    return Unavailable("the server is stopping; try again", code="stopping", retry_after_s=_STOPPING_HINT_S)


def _kept(request: InferenceRequest, answer: Answer) -> Kept:
    return Kept(
        operation=request.inputs.operation.value,
        provider=answer.provider,
        model=answer.model,
        body=encode(answer),
    )


def _answer(call: _Call, body: bytes, *extra: Header) -> Coroutine[Any, Any, None]:
    headers = json_headers(body, call.request_id, call.timing)
    headers.extend(standing_headers(call.ticket.standing()))
    headers.extend(extra)
    return call.exchange.respond(200, headers, body)


def internal_error(request_id: str) -> InternalError:
    """The answer to a defect of ours."""
    return InternalError(f"an internal error occurred; quote request {request_id}")


async def respond_error(
    exchange: Exchange,
    error: GatewayError,
    request_id: str,
    timing: Timing | None = None,
    standing: Standing | None = None,
) -> None:
    """Send an error in the envelope."""
    body = encode(envelope(error, request_id))
    headers = [*json_headers(body, request_id, timing), *error_headers(error), *standing_headers(standing)]
    await exchange.respond(error.status, headers, body)
