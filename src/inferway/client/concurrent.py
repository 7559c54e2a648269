"""The client for asyncio programs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from inferway.client.address import find_address
from inferway.client.answers import (
    ChatAnswer,
    EmbeddingAnswer,
    Event,
    TranscriptionAnswer,
    chat_answer,
    embedding_answer,
    transcription_answer,
)
from inferway.client.errors import InferwayError
from inferway.client.events import EventReader
from inferway.client.reaching import failure_of, may_use_proxies, timeouts
from inferway.client.requests import (
    PATH,
    Patience,
    chat_body,
    embedding_body,
    require_object,
    transcription_body,
)

T = TypeVar("T")


class AsyncClient:
    """Calls one server with one key in one namespace, for use on one event loop.

    `timeout_s` is the longest wait for one answer. `retries` is how often a call is sent again after a failure that may pass: the
    server's Retry-After is obeyed, and what the server calls not retryable is not repeated. A call whose connection broke in the middle
    is repeated only with an `idempotency_key`, since it may have been done and billed.
    All calls raise `inferway.client.errors.InferwayError`: `APIError` by status, or `ConnectionFailed`.
    """

    def __init__(  # noqa: PLR0913 - the address has three parts, and how to call has four
        self,
        url: str | None = None,
        api_key: str | None = None,
        namespace: str | None = None,
        *,
        timeout_s: float = 150.0,
        retries: int = 2,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address = find_address(url, api_key, namespace)
        self._patience = Patience(retries=retries)
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            base_url=self._address.url,
            timeout=timeouts(timeout_s),
            # How much is called at once is for the program to say.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            transport=transport,
            trust_env=may_use_proxies(self._address.url),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def chat(
        self,
        prompt: str | Sequence[str] | Sequence[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        **given: Any,
    ) -> ChatAnswer:
        """Ask a prompt, several prompts side by side, or go on with a conversation (messages).

        `provider` and `model` say who answers; `system`, `images`, `fallbacks` and any parameter (`temperature`, `max_tokens`,
        `schema`, `tools`, …) may be given. Images are URLs, paths, open files or bytes.
        """
        return chat_answer(await self.infer(chat_body(prompt, **given), idempotency_key=idempotency_key))

    @asynccontextmanager
    async def stream(
        self, prompt: str | Sequence[str] | Sequence[Mapping[str, Any]], **given: Any
    ) -> AsyncIterator["AsyncChatStream"]:
        """A chat whose answer comes in pieces; leaving the block early ends the call."""
        async with self.infer_streamed(chat_body(prompt, **given)) as stream:
            yield stream

    async def embed(
        self, text: str | Sequence[str] | None = None, *, idempotency_key: str | None = None, **given: Any
    ) -> EmbeddingAnswer:
        """Embed a text, several texts, `images` or a `video`; one vector for each, in order."""
        return embedding_answer(
            await self.infer(embedding_body(text, **given), idempotency_key=idempotency_key)
        )

    async def transcribe(
        self, audio: Any, *, idempotency_key: str | None = None, **given: Any
    ) -> TranscriptionAnswer:
        """Write down a recording: a URL, a path, an open file or bytes."""
        body = transcription_body(audio, **given)
        return transcription_answer(await self.infer(body, idempotency_key=idempotency_key))

    async def infer(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        """The answer to a whole body of `POST /v1/inference`, as the JSON object that it is."""
        return await self._patiently(
            lambda: self._once(body, idempotency_key), may_repeat=idempotency_key is not None
        )

    @asynccontextmanager
    async def infer_streamed(
        self, body: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> AsyncIterator["AsyncChatStream"]:
        """The stream of a whole body of `POST /v1/inference`; leaving the block early ends the call, unless it has a key."""
        response = await self._patiently(
            lambda: self._open({**body, "stream": True}, idempotency_key),
            may_repeat=idempotency_key is not None,
        )
        try:
            yield AsyncChatStream(response)
        finally:
            await response.aclose()

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], *, may_repeat: bool) -> T:
        tried = 0
        while True:
            tried += 1
            try:
                return await attempt()
            except InferwayError as error:
                wait_s = self._patience.wait_s(error, tried, may_repeat=may_repeat)
                if wait_s is None:
                    raise
            await self._sleep(wait_s)

    async def _once(self, body: Mapping[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        try:
            response = await self._http.post(PATH, json=body, headers=self._address.headers(idempotency_key))
        except httpx2.TransportError as error:
            raise failure_of(error) from None
        return require_object(response.status_code, response.content, response.headers)

    async def _open(self, body: Mapping[str, Any], idempotency_key: str | None) -> httpx2.Response:
        """A stream's answer whose status is good, to be closed by whoever asked for it."""
        request = self._http.build_request(
            "POST", PATH, json=body, headers=self._address.headers(idempotency_key)
        )
        try:
            response = await self._http.send(request, stream=True)
            if response.status_code == 200:
                return response
            content = await response.aread()
        except httpx2.TransportError as error:
            raise failure_of(error) from None
        require_object(response.status_code, content, response.headers)
        raise AssertionError("what is not 200 was raised")


class AsyncChatStream:
    """The events of one answer as they come; `answer` is the whole of it once they have ended."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._reader = EventReader()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Every event up to `done`."""
        try:
            async for data in self._response.aiter_raw():
                for event in self._reader.feed(data):
                    yield event
        except httpx2.TransportError as error:
            raise failure_of(error) from None
        self._reader.require_answer()

    async def text(self) -> AsyncIterator[str]:
        """The pieces of the answer's text."""
        async for event in self:
            if event.text:
                yield event.text

    @property
    def answer(self) -> ChatAnswer:
        """The whole answer. Raises `ConnectionFailed` before the stream has ended."""
        return self._reader.require_answer()
