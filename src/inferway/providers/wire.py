"""Makes capabilities of a translator, an endpoint, credentials and the transport: all that wire providers share."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Generic, NoReturn

import msgspec
from msgspec.structs import replace

from inferway.errors import ProviderBadAnswer, ProviderFailed, UpstreamError
from inferway.providers.base import (
    Authenticator,
    CallT,
    ChatTranslator,
    Context,
    Endpoint,
    ErrorClassifier,
    Headers,
    Prepared,
    ResultT,
    Target,
    Timing,
    Translator,
    Transport,
    WireRequest,
    WireResponse,
    WireStream,
)
from inferway.providers.scrub import mask_secrets, scrub, secrets_of
from inferway.providers.sse import Event, SseParser
from inferway.types import (
    ChatCall,
    ChatEvent,
    ChatResult,
    Completion,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)

_log = logging.getLogger("inferway.providers")
_LOGGED_CHARACTERS = 200
_READ_OFF_S = 0.25
_PIECE_BYTES = 4 * 1024
"""After so much of a stream others get their turn: what a fast provider has sent meanwhile may hold thousands of events."""

# What reading a stranger's JSON can raise. A body that a translator cannot read is a bad answer, never a defect of ours to the caller.
UNREADABLE = (
    msgspec.MsgspecError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class WireCapability(Generic[CallT, ResultT]):
    """One operation of one provider over HTTP. `execute` sends once; whoever calls it decides about trying again."""

    def __init__(
        self,
        *,
        translator: Translator[CallT, ResultT],
        endpoint: Endpoint,
        authenticator: Authenticator,
        classify: ErrorClassifier,
        transport: Transport,
    ) -> None:
        self.max_batch = translator.max_batch
        self.keeps_deadline = True
        self._translator = translator
        self._base_url = endpoint.base_url.rstrip("/")
        self._endpoint_headers = endpoint.headers
        self._authenticator = authenticator
        self._classify = classify
        self._transport = transport
        self._known_secrets: tuple[Headers, tuple[bytes, ...]] = ((), ())

    def prepare(self, call: CallT, target: Target) -> Prepared:
        """Translate; raises `CallerError` for what the target cannot take."""
        translated = self._translator.to_wire(call, target)
        return Prepared(
            call=call, target=target, payload=translated.request, adaptations=translated.adaptations
        )

    async def execute(self, prepared: Prepared, context: Context) -> ResultT:
        """Send the request once and read the answer; raises `UpstreamError`."""
        request: WireRequest = prepared.payload
        headers = self._find_headers(context) or await self._headers(context)
        timing = context.timing
        timing.attempts += 1
        started = timing.clock()
        try:
            response = await self._transport.send(self._url(request), request, headers, context.deadline)
        finally:
            timing.upstream_s += timing.clock() - started
        body = mask_secrets(response.body, self._secrets(headers))
        if body is not response.body:
            response = replace(response, body=body)
        if response.status >= 300:
            raise self._error(response, prepared.target)
        return read_answer(self._translator, prepared, response)

    def _url(self, request: WireRequest) -> str:
        path = request.path if request.path.startswith("/") else f"/{request.path}"
        return f"{self._base_url}{path}?{request.query}" if request.query else f"{self._base_url}{path}"

    def _find_headers(self, context: Context) -> Headers | None:
        """The headers of the call before, where nothing need be asked."""
        shown = self._authenticator.find_headers(context.credential)
        return None if shown is None else self._endpoint_headers + shown

    async def _headers(self, context: Context) -> Headers:
        return self._endpoint_headers + await self._authenticator.headers(
            context.credential, context.deadline
        )

    def _secrets(self, headers: Headers) -> tuple[bytes, ...]:
        """The secrets in some headers: nearly always those of the call before."""
        known, secrets = self._known_secrets
        if known != headers:
            secrets = secrets_of(headers)
            self._known_secrets = (headers, secrets)
        return secrets

    def _error(self, response: WireResponse, target: Target) -> UpstreamError:
        if response.status < 400:
            return ProviderBadAnswer("The provider answered with a redirect; redirects are never followed.")
        try:
            return self._classify(response)
        except UNREADABLE:
            _log.exception("provider %s: the error answer could not be classified", target.provider)
            failed = ProviderFailed if response.status >= 500 else ProviderBadAnswer
            return failed(f"The provider answered with status {response.status}.")


class WireChat(WireCapability[ChatCall, ChatResult]):
    """A chat capability over HTTP that can also stream server-sent events."""

    def __init__(
        self,
        *,
        translator: ChatTranslator,
        endpoint: Endpoint,
        authenticator: Authenticator,
        classify: ErrorClassifier,
        transport: Transport,
    ) -> None:
        super().__init__(
            translator=translator,
            endpoint=endpoint,
            authenticator=authenticator,
            classify=classify,
            transport=transport,
        )
        self._chat_translator = translator

    async def stream(
        self, prepared: Prepared, context: Context
    ) -> AsyncGenerator[ChatEvent | ChatResult, None]:
        """Events as they come and, last, the whole result; closing the iterator closes the upstream connection."""
        request: WireRequest = prepared.payload
        headers = self._find_headers(context) or await self._headers(context)
        timing = context.timing
        timing.attempts += 1
        secrets = secrets_of(headers)
        body = _StreamedBody(self._chat_translator, prepared, secrets)
        started = timing.clock()
        opened = self._transport.open(self._url(request), request, headers, context.deadline)
        try:
            async with opened as answer:
                timing.upstream_s += timing.clock() - started
                if answer.status >= 300:
                    raise await self._stream_error(answer, prepared.target, secrets)
                chunks = answer.chunks()
                while not body.ended and (chunk := await _next(chunks, timing)) is not None:
                    for start in range(0, len(chunk), _PIECE_BYTES):
                        if start:
                            await asyncio.sleep(0)
                        for event in body.feed(chunk[start : start + _PIECE_BYTES]):
                            yield event
                if body.ended:
                    await _read_off(chunks)
            for item in body.finish(answer):
                yield item
        finally:
            if context.told is not None:
                context.told.append(body.usage)

    async def _stream_error(
        self, answer: WireStream, target: Target, secrets: tuple[bytes, ...]
    ) -> UpstreamError:
        response = WireResponse(status=answer.status, headers=answer.headers, body=await answer.read())
        return self._error(_masked(response, secrets), target)


async def _next(chunks: AsyncIterator[bytes], timing: Timing) -> bytes | None:
    """The next piece or None at the end. Only this wait counts as the provider's time, not what our reader does between events."""
    started = timing.clock()
    try:
        return await anext(chunks, None)
    finally:
        timing.upstream_s += timing.clock() - started


async def _read_off(chunks: AsyncIterator[bytes]) -> None:
    """Read the rest of a body whose end marker was seen, so that its connection can be kept; a server that goes on or breaks is left."""
    with contextlib.suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(_READ_OFF_S):
            async for _ in chunks:
                pass


class _StreamedBody:
    """The body of a 2xx answer to a streaming request: server-sent events, or one JSON document of a server that ignores `stream`.

    Our own `secrets` are masked in each event; one that is spread over several events is not found.
    """

    def __init__(self, translator: ChatTranslator, prepared: Prepared, secrets: tuple[bytes, ...]) -> None:
        self._secrets = secrets
        self._translator = translator
        self._prepared = prepared
        self._decoder = translator.decoder(prepared.call, prepared.target)  # type: ignore[arg-type]
        self._parser = SseParser()
        self._document: list[bytes] = []
        self._started = False
        self._is_document = False

    @property
    def ended(self) -> bool:
        """Whether the wire's end marker was seen."""
        return self._decoder.ended

    @property
    def usage(self) -> Usage:
        """What the provider has counted so far, as far as it can be read."""
        try:
            return self._decoder.usage
        except UNREADABLE:
            return Usage()

    def feed(self, chunk: bytes) -> Iterator[ChatEvent]:
        """What this piece means, event by event: those before a broken one still count."""
        if not self._started:
            # Content types are often wrong; no event stream begins with a brace, and no JSON answer without one.
            first = chunk.lstrip()
            if not first:
                return
            self._started = True
            self._is_document = first[0] in b"{["
        if self._is_document:
            self._document.append(chunk)
        else:
            yield from self._decode(self._parser.feed(chunk))

    def finish(self, answer: WireStream) -> Iterator[ChatEvent | ChatResult]:
        """What the end of the body completes, and the result."""
        if not self._is_document:
            yield from self._decode(self._parser.finish())
            yield self._result(b"")
            return
        body = mask_secrets(b"".join(self._document), self._secrets)
        if body.lstrip()[:1] == b"[":
            # The array form of a stream of Gemini: its decoder knows how to read it, others refuse it.
            yield from self._decode([("", body)])
            yield self._result(body)
            return
        response = WireResponse(status=answer.status, headers=answer.headers, body=body)
        result = read_answer(self._translator, self._prepared, response)
        yield from _as_events(result.completion)
        yield result

    def _decode(self, events: list[Event]) -> Iterator[ChatEvent]:
        on_event = self._decoder.on_event
        for name, shown in events:
            if not shown or shown.isspace():
                continue  # It keeps the connection busy, and says nothing.
            data = mask_secrets(shown, self._secrets)
            try:
                decoded = on_event(name, data)
            except (*UNREADABLE, ProviderBadAnswer) as error:
                _refuse(error, data, self._prepared.target)
            yield from decoded

    def _result(self, body: bytes) -> ChatResult:
        try:
            return self._decoder.finish()
        except (*UNREADABLE, ProviderBadAnswer) as error:
            _refuse(error, body, self._prepared.target)


def _masked(response: WireResponse, secrets: tuple[bytes, ...]) -> WireResponse:
    body = mask_secrets(response.body, secrets)
    return response if body is response.body else replace(response, body=body)


def read_answer(
    translator: Translator[CallT, ResultT], prepared: Prepared, response: WireResponse
) -> ResultT:
    """What a 2xx answer says; raises `ProviderBadAnswer`, and logs the first of it, when it says nothing that can be read."""
    try:
        return translator.from_wire(prepared.call, prepared.target, response)  # type: ignore[arg-type]
    except (*UNREADABLE, ProviderBadAnswer) as error:
        _refuse(error, response.body, prepared.target)


def _as_events(completion: Completion) -> list[ChatEvent]:
    """The events that a stream would have carried, for an answer that came whole."""
    events: list[ChatEvent] = [ReasoningDelta(text=step.text) for step in completion.reasoning if step.text]
    if completion.text:
        events.append(TextDelta(text=completion.text))
    for index, call in enumerate(completion.tool_calls):
        arguments = msgspec.json.encode(call.arguments).decode()
        events.append(ToolCallDelta(call=index, id=call.id, name=call.name, arguments=arguments))
    return events


def _refuse(error: Exception, body: bytes, target: Target) -> NoReturn:
    """Log the beginning of an answer that cannot be used, which never reaches the caller, and raise what does."""
    seen = scrub(body[:4_000].decode("utf-8", "replace"))[:_LOGGED_CHARACTERS]
    _log.warning("provider %s: unusable answer (%s): %s", target.provider, _reason(error), seen)
    if isinstance(error, ProviderBadAnswer):
        raise error
    raise ProviderBadAnswer("The provider's answer could not be read.") from error


def _reason(error: Exception) -> str:
    return scrub(f"{type(error).__name__}: {error}")[:_LOGGED_CHARACTERS]
