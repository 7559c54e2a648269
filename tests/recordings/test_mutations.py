"""Recorded bodies, mutated thousands of times: no exception but an `UpstreamError`, and no answer that the body does not give."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest

from inferway.errors import UpstreamError
from inferway.pipeline.parameters import read_parameters
from inferway.providers.anthropic.row import build as build_anthropic
from inferway.providers.base import (
    Capability,
    Context,
    Credential,
    Headers,
    Prepared,
    Provider,
    Target,
    WireRequest,
    WireResponse,
)
from inferway.providers.google.row import build as build_google
from inferway.providers.openai.row import build as build_openai
from inferway.types import (
    Call,
    ChatCall,
    ChatResult,
    Deadline,
    EmbeddingCall,
    EmbeddingResult,
    Media,
    MediaKind,
    Message,
    Parameters,
    Result,
    TextPart,
    TranscriptionCall,
)
from tests.recordings import calls
from tests.recordings.book import Recording, file_names, load
from tests.recordings.errors import expect_failure
from tests.recordings.inventions import inventions
from tests.recordings.mutations import Mutant, of_json, of_stream
from tests.recordings.replaying import most_checks, to_call

pytestmark = pytest.mark.recordings

_FILES = [name for name in file_names() if most_checks(load(name))[0] != "tolerance"] or [
    "(no recordings here)"
]
_PIECE = 700


class _Playing:
    """A transport that answers what it was given last, whatever is asked of it. Implements `Transport`."""

    def __init__(self) -> None:
        self.response = WireResponse(status=200, headers={}, body=b"")

    async def send(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> WireResponse:
        del url, request, headers, deadline
        return self.response

    def open(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> AbstractAsyncContextManager["_Played"]:
        del url, request, headers, deadline

        @asynccontextmanager
        async def opened() -> AsyncIterator[_Played]:
            yield _Played(self.response)

        return opened()

    async def aclose(self) -> None:
        """There is nothing to close."""


class _Played:
    """One streamed answer."""

    def __init__(self, response: WireResponse) -> None:
        self.status = response.status
        self.headers = dict(response.headers)
        self._body = response.body

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), _PIECE):
            yield self._body[at : at + _PIECE]

    async def read(self) -> bytes:
        return self._body


class _Reader:
    """The product's own reading of one recording's answers, whatever they hold."""

    def __init__(self, recording: Recording) -> None:
        self._transport = _Playing()
        provider = _provider(recording, self._transport)
        call = _call(recording)
        target = Target(
            provider=provider.name,
            model=recording.model,
            facts=provider.facts(recording.model),
            options=provider.options,
        )
        capability: Capability[Any, Result] | None = {
            ChatCall: provider.chat,
            EmbeddingCall: provider.embedding,
            TranscriptionCall: provider.transcription,
        }[type(call)]
        assert capability is not None
        self._provider, self._capability = provider, capability
        self._prepared: Prepared = capability.prepare(call, target)
        self._status = recording.response.status
        self._headers = {name.lower(): str(value) for name, value in recording.response.headers.items()}
        self._context = Context(request_id="r", deadline=Deadline.after(60), credential=provider.credential)

    @property
    def items(self) -> int:
        """How many vectors have to come back."""
        return len(self._prepared.call.items) if isinstance(self._prepared.call, EmbeddingCall) else 0

    async def read(self, content: bytes) -> Result:
        """What a body says; raises what the product raises."""
        self._transport.response = WireResponse(status=self._status, headers=self._headers, body=content)
        call = self._prepared.call
        if not (isinstance(call, ChatCall) and call.stream):
            return await self._capability.execute(self._prepared, self._context)
        assert self._provider.chat is not None
        items = [item async for item in self._provider.chat.stream(self._prepared, self._context)]
        assert isinstance(items[-1], ChatResult)
        return items[-1]


def _provider(recording: Recording, transport: _Playing) -> Provider:
    credential, row = Credential(secret="k"), recording.row
    if row.kind == "openai":
        return build_openai(transport=transport, credential=credential)
    if row.kind == "anthropic":
        return build_anthropic(transport=transport, credential=credential)
    if row.vertex is None:
        return build_google(transport=transport, credential=credential)
    token = Credential(secret="k", kind="access_token")
    options = {"project": row.vertex["project"], "location": row.vertex["location"], "use_vertex": True}
    return build_google(transport=transport, vertex_credential=token, options=options)


def _call(recording: Recording) -> Call:
    """The recorded call with a conversation of one question: only how the answer is read matters here."""
    try:
        call = to_call(recording)
    except calls.Unsayable:
        call = calls.plain_call(recording)
    parameters = _parameters(call)
    inputs = call.inputs
    if "audio_base64" in inputs and "prompts" not in inputs:
        audio = Media(kind=MediaKind.AUDIO, data=b"RIFF", mime="audio/wav")
        return TranscriptionCall(audio=audio, parameters=parameters)
    if "text" in inputs or "texts" in inputs:
        texts = inputs["texts"] if "texts" in inputs else [inputs["text"]]
        return EmbeddingCall(items=tuple(texts), parameters=parameters)
    question = Message(role="user", content=(TextPart(text="Well?"),))
    return ChatCall(messages=(question,), parameters=parameters, stream=call.stream)


def _parameters(call: calls.Call) -> Parameters:
    given = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in call.parameters.items()}
    return read_parameters(given)


def _mutants(recording: Recording) -> list[Mutant]:
    response = recording.response
    if response.body_type == "sse":
        return list(of_stream(response.body))
    return list(of_json(response.body)) if response.body_type == "json" else []


@pytest.mark.parametrize("name", _FILES)
async def test_no_mutation_is_made_into_an_answer(
    name: str, counts: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    recording = load(name)
    caplog.set_level(logging.CRITICAL, "inferway.providers")
    reader, unread = _Reader(recording), []
    if recording.is_success:
        assert inventions(await reader.read(recording.response.content()), _values(recording)) == []
    for mutant in _mutants(recording):
        counts["mutations"] += 1
        try:
            result = await reader.read(mutant.content)
        except UpstreamError as error:
            unread += [f"{mutant.what}: {wrong}" for wrong in _wrong(recording, error)]
            continue
        except Exception as error:  # noqa: BLE001 - that nothing else is raised is what this test says
            unread.append(f"{mutant.what}: {error!r}")
            continue
        assert recording.is_success, mutant.what
        found = [*inventions(result, mutant.values), *_unfinished(reader, recording, mutant, result)]
        unread += [f"{mutant.what}: {invented}" for invented in found]
    assert unread[:10] == [], f"{len(unread)} mutations"


def _unfinished(reader: _Reader, recording: Recording, mutant: Mutant, result: Result) -> Iterator[str]:
    """A stream that was cut before its provider said that it ended is no answer, and fewer vectors than items are none."""
    if isinstance(result, EmbeddingResult) and len(result.vectors) != reader.items:
        yield f"{len(result.vectors)} vectors for {reader.items} items"
    if isinstance(result, ChatResult) and mutant.what.startswith("cut"):
        ended = recording.provider == "google" and '"finishReason"' in mutant.content.decode()
        if not ended:
            yield "the answer of a stream that was cut"


def _values(recording: Recording) -> Any:
    """The recorded body as JSON values."""
    body = recording.response.body
    if recording.response.body_type != "sse":
        return body
    return next(
        mutant.values for mutant in of_stream(body + "data: {}\n\n") if mutant.what.endswith("doubled")
    )


def _wrong(recording: Recording, error: UpstreamError) -> list[str]:
    """What is wrong with an error: a status that callers cannot read, an address, or blame on the wrong side."""
    wrong = [] if error.status in (400, 429, 500, 503) else [f"status {error.status}"]
    if "://" in error.message:
        wrong.append(f"an address in {error.message!r}")
    failure = expect_failure(recording) if recording.response.status in (401, 403) else None
    if failure is not None and error.code != failure.code:
        wrong.append(f"code {error.code}")
    if recording.response.status >= 500 and error.status != 500:
        wrong.append(f"status {error.status} for {recording.response.status}")
    return wrong
