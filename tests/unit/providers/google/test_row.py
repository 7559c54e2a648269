"""The row of Google as a whole, over HTTP on loopback: where each call goes, and with which credential."""

import json
from typing import Any

import pytest

from inferway.errors import ProviderAuth, ProviderBadAnswer, ProviderRateLimited
from inferway.providers.base import Context, Credential, Provider, Target
from inferway.providers.google.row import build
from inferway.providers.transport import HttpTransport
from inferway.types import (
    Call,
    ChatEvent,
    ChatResult,
    Deadline,
    EmbeddingCall,
    EmbeddingResult,
    Media,
    MediaKind,
    Operation,
    TranscriptionCall,
    TranscriptionResult,
)
from tests.unit.providers.google.exchanges import answer, ask, text_of
from tests.unit.providers.google.upstream import Upstream, as_events, as_json, running

KEY = Credential(secret="AIza-operator")
TOKEN = Credential(kind="access_token", secret="ya29.operator")
MULTI = "multimodalembedding@001"
VECTOR = {"predictions": [{"textEmbedding": [1, 2]}]}


def _row(upstream: Upstream, **settings: Any) -> Provider:
    return build(
        transport=HttpTransport(),
        base_url=f"{upstream.url}/gemini",
        vertex_base_url=f"{upstream.url}/vertex",
        **settings,
    )


def _target(row: Provider, model: str) -> Target:
    return Target(provider=row.name, model=model, facts=row.facts(model), options=row.options)


async def _run(
    row: Provider, operation: Operation, call: Call, model: str, credential: Credential | None = None
) -> Any:
    capability = row.capability(operation)
    assert capability is not None
    prepared = capability.prepare(call, _target(row, model))
    context = Context(request_id="r", deadline=Deadline.after(5), credential=credential or row.credential)
    return await capability.execute(prepared, context)


async def test_a_chat_goes_to_the_gemini_api_with_the_key() -> None:
    async with running(as_json(answer({"text": "Hi"}))) as upstream:
        row = _row(upstream, credential=KEY, headers=(("x-team", "a"),))
        result = await _run(row, Operation.CHAT, ask("Hello"), "gemini-3.8-flash")
    assert isinstance(result, ChatResult)
    assert result.completion.text == "Hi"
    (asked,) = upstream.asked
    assert asked.target == "/gemini/v1beta/models/gemini-3.8-flash:generateContent"
    assert asked.headers["x-goog-api-key"] == "AIza-operator"
    assert asked.headers["x-team"] == "a"
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers
    assert json.loads(asked.body) == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


async def test_an_embedding_of_the_multimodal_model_goes_to_vertex_with_the_account() -> None:
    async with running(as_json(VECTOR)) as upstream:
        row = _row(upstream, credential=KEY, vertex_credential=TOKEN, options={"project": "acme"})
        result = await _run(row, Operation.TEXT_EMBEDDING, EmbeddingCall(items=("a",)), MULTI)
    assert isinstance(result, EmbeddingResult)
    (asked,) = upstream.asked
    assert asked.target.startswith("/vertex/v1beta1/projects/acme/locations/us-central1/")
    assert asked.headers["authorization"] == "Bearer ya29.operator"
    assert "x-goog-api-key" not in asked.headers


async def test_a_callers_own_key_never_rides_on_the_operators_account() -> None:
    async with running(as_json(VECTOR)) as upstream:
        row = _row(upstream, credential=KEY, vertex_credential=TOKEN, options={"project": "acme"})
        with pytest.raises(ProviderAuth):
            await _run(
                row, Operation.TEXT_EMBEDDING, EmbeddingCall(items=("a",)), MULTI, Credential(secret="AIza-x")
            )
        assert upstream.asked == []


@pytest.mark.parametrize(
    "settings",
    [
        {"credential": KEY, "vertex_credential": TOKEN, "options": {"project": "acme", "use_vertex": True}},
        {"vertex_credential": TOKEN, "options": {"project": "acme", "api_version": None}},
    ],
)
async def test_everything_goes_to_vertex_when_that_is_set_or_there_is_no_key(
    settings: dict[str, Any],
) -> None:
    async with running(as_json(answer({"text": "Hi"}))) as upstream:
        row = _row(upstream, **settings)
        await _run(row, Operation.CHAT, ask("Hello"), "gemini-3.8-flash")
    assert upstream.asked[0].target.startswith("/vertex/v1beta1/projects/acme/")
    assert upstream.asked[0].headers["authorization"] == "Bearer ya29.operator"


@pytest.mark.parametrize(("account", "place"), [(TOKEN, "/vertex/"), (None, "/gemini/")])
async def test_an_older_text_model_is_served_by_vertex_where_that_is_configured(
    account: Credential | None, place: str
) -> None:
    body = {"predictions": [{"embeddings": {"values": [1]}}], "embeddings": [{"values": [1]}]}
    async with running(as_json(body)) as upstream:
        row = _row(upstream, credential=KEY, vertex_credential=account, options={"project": "acme"})
        await _run(row, Operation.TEXT_EMBEDDING, EmbeddingCall(items=("a",)), "text-embedding-004")
    assert upstream.asked[0].target.startswith(place)


async def test_speech_is_transcribed() -> None:
    call = TranscriptionCall(audio=Media(kind=MediaKind.AUDIO, data=b"RIFF", mime="audio/wav"))
    async with running(as_json(answer({"text": "Good day"}))) as upstream:
        result = await _run(_row(upstream, credential=KEY), Operation.TRANSCRIPTION, call, "gemini-3.8-flash")
    assert isinstance(result, TranscriptionResult)
    assert result.transcript.text == "Good day"


async def _stream(row: Provider) -> list[ChatEvent | ChatResult]:
    assert row.chat is not None
    prepared = row.chat.prepare(ask("Hello", stream=True), _target(row, "gemini-3.8-flash"))
    context = Context(request_id="r", deadline=Deadline.after(5), credential=row.credential)
    return [event async for event in row.chat.stream(prepared, context)]


async def test_a_stream_ends_with_what_a_whole_answer_would_have_said() -> None:
    chunks = [answer({"text": "Hel"}, finish=None), answer({"text": "lo"})]
    async with running(as_events(*chunks), as_json(chunks)) as upstream:
        row = _row(upstream, credential=KEY)
        first, second = await _stream(row), await _stream(row)
    assert upstream.asked[0].target == "/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"
    for events in (first, second):
        *deltas, result = events
        assert isinstance(result, ChatResult)
        assert (
            text_of([d for d in deltas if not isinstance(d, ChatResult)]) == result.completion.text == "Hello"
        )
    assert first[-1] == second[-1]


async def test_a_stream_that_is_cut_is_a_bad_answer() -> None:
    async with running(as_events(answer({"text": "Hel"}, finish=None))) as upstream:
        with pytest.raises(ProviderBadAnswer):
            await _stream(_row(upstream, credential=KEY))


async def test_an_error_answer_is_classified_with_its_delay() -> None:
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "7s"}]}}
    async with running(as_json(body, 429)) as upstream:
        with pytest.raises(ProviderRateLimited) as caught:
            await _run(_row(upstream, credential=KEY), Operation.CHAT, ask(), "gemini-3.8-flash")
    assert caught.value.retry_after_s == 7


def test_facts_say_how_many_items_vertex_takes() -> None:
    key = build(transport=HttpTransport(), credential=KEY, options={"project": "acme"})
    assert "max_batch" not in key.facts("gemini-embedding-001")
    assert key.facts(MULTI)["max_batch"] == 1
    assert "max_batch" not in key.facts("text-embedding-005")
    both = build(
        transport=HttpTransport(), credential=KEY, vertex_credential=TOKEN, options={"project": "acme"}
    )
    assert both.facts("text-embedding-005")["max_batch"] == 100
    assert "max_batch" not in both.facts("gemini-embedding-001")
    vertex = build(transport=HttpTransport(), vertex_credential=TOKEN, options={"project": "acme"})
    assert vertex.facts("gemini-embedding-001")["max_batch"] == 1
    assert vertex.facts("gemini-embedding-2")["max_batch"] == 1
    assert key.embedding is not None
    assert key.embedding.max_batch == 100


def test_the_accounts_project_stands_in_when_none_is_configured() -> None:
    document = {
        "type": "service_account",
        "client_email": "r",
        "private_key": "k",
        "project_id": "of-the-account",
    }
    account = Credential(kind="service_account", secret=json.dumps(document))
    row = build(transport=HttpTransport(), vertex_credential=account)
    assert row.options["project"] == "of-the-account"
    named = build(transport=HttpTransport(), vertex_credential=account, options={"project": "named"})
    assert named.options["project"] == "named"


def test_an_operators_facts_stand_behind_the_shipped_ones() -> None:
    row = build(
        transport=HttpTransport(),
        credential=KEY,
        facts=[{"models": ["gemini-2.5-pro"], "temperature": False}],
    )
    assert row.facts("gemini-2.5-pro")["temperature"] is False
    assert row.facts("gemini-2.5-pro")["thinking"] == "budget"
