"""The fake provider answers from the call alone, says that it is fake, and fails exactly as it is told."""

import math
from time import monotonic
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from inferway.errors import (
    BadRequest,
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTls,
    ProviderUnreachable,
    UpstreamError,
)
from inferway.providers.base import Context, Target
from inferway.providers.fake import build
from inferway.types import (
    ChatCall,
    ChatResult,
    Deadline,
    EmbeddingCall,
    Media,
    MediaKind,
    MediaPart,
    Message,
    Operation,
    Parameters,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    TranscriptionCall,
)


def context(timeout_s: float = 10.0) -> Context:
    return Context(request_id="req", deadline=Deadline.after(timeout_s))


def said(text: str = "Say that it is done", *, media: Media | None = None, **parameters: Any) -> ChatCall:
    parts = (TextPart(text=text),) + ((MediaPart(media=media),) if media else ())
    return ChatCall(messages=(Message(role="user", content=parts),), parameters=Parameters(**parameters))


async def chat(call: ChatCall, model: str = "fake-chat", *, where: Context | None = None) -> ChatResult:
    capability = build().chat
    assert capability is not None
    return await capability.execute(
        capability.prepare(call, Target(provider="fake", model=model)), where or context()
    )


async def streamed(call: ChatCall, model: str = "fake-chat") -> tuple[list[Any], UpstreamError | None]:
    capability = build().chat
    assert capability is not None
    items: list[Any] = []
    try:
        async for item in capability.stream(
            capability.prepare(call, Target(provider="fake", model=model)), context()
        ):
            items.append(item)  # noqa: PERF401 - what came before an error counts
    except UpstreamError as error:
        return items, error
    return items, None


async def test_an_answer_depends_on_the_prompt_alone_and_says_that_it_is_fake() -> None:
    first, again, other = await chat(said()), await chat(said()), await chat(said("Something else"))
    assert first == again
    assert "fake" in first.completion.text
    assert "Say that it is done" in first.completion.text
    assert other.completion.text != first.completion.text
    assert first.usage.tokens_used() == {"prompt": 5, "completion": 16, "total": 21}


async def test_a_stream_says_what_the_whole_answer_says() -> None:
    items, error = await streamed(said())
    assert error is None
    assert items[-1] == await chat(said())
    assert (
        "".join(item.text for item in items[:-1] if isinstance(item, TextDelta)) == items[-1].completion.text
    )


async def test_limits_of_length_and_stops_are_kept() -> None:
    short = (await chat(said(max_tokens=3))).completion
    assert (short.text, short.finish_reason) == ("This is a", "length")
    stopped = (await chat(said(stop=("fake",)))).completion
    assert (stopped.text, stopped.finish_reason) == ("This is a ", "stop")


def test_what_the_fake_does_not_take_is_told() -> None:
    capability = build().chat
    assert capability is not None
    call = said(temperature=0.5, top_p=0.1, max_tokens=4, unknown=("wizardry",))
    prepared = capability.prepare(call, Target(provider="fake", model="fake-chat"))
    assert {change.field for change in prepared.adaptations} == {
        f"parameters.{name}" for name in ("temperature", "top_p", "wizardry")
    }


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "required": ["name", "age", "tags", "kind", "ok", "score"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "minLength": 6},
                "age": {"type": "integer", "minimum": 18},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 2}, "minItems": 2},
                "kind": {"enum": ["a", "b"]},
                "ok": {"type": "boolean"},
                "score": {"type": "number", "exclusiveMaximum": 0},
            },
        },
        {"type": "array", "items": {"anyOf": [{"const": 4}, {"type": "null"}]}},
        {"type": ["string", "null"]},
        True,
    ],
)
async def test_a_schema_gets_json_that_follows_it(schema: Any) -> None:
    text = (await chat(said(schema=schema))).completion.text
    jsonschema_rs.validate(schema, msgspec.json.decode(text))


async def test_a_required_tool_is_called_and_its_stream_says_the_same() -> None:
    tool = Tool(name="look_up", parameters={"type": "object", "properties": {"word": {"type": "string"}}})
    call = said(tools=(tool,), tool_choice="required")
    completion = (await chat(call)).completion
    assert completion.finish_reason == "tool_calls"
    assert [(c.name, c.arguments) for c in completion.tool_calls] == [("look_up", {"word": "fake"})]
    items, _ = await streamed(call)
    fragments = [item.arguments for item in items if isinstance(item, ToolCallDelta)]
    assert msgspec.json.decode("".join(fragments)) == {"word": "fake"}


@pytest.mark.parametrize(
    "broken",
    [
        {"required": [{}, ["a"], None, 1], "properties": "a"},
        {"required": 1.5, "properties": {"a": "b"}},
        {"required": "city", "anyOf": {"a": 1}, "enum": True},
        {"properties": {"a": {"type": "array", "minItems": "2", "items": 3}}},
        {"properties": {"a": {"type": "string", "minLength": None, "maxLength": -3}}},
        {"properties": {"a": {"type": "integer", "minimum": 1e300, "maximum": [1]}}},
        {"properties": {"a": {"type": [{}]}}},
    ],
)
async def test_a_tool_whose_parameters_make_no_sense_is_called_all_the_same(broken: dict[str, Any]) -> None:
    tool = Tool(name="look_up", parameters={"type": "object", **broken})
    (call,) = (await chat(said(tools=(tool,), tool_choice="required"))).completion.tool_calls
    assert msgspec.json.encode(call.arguments)


async def test_lists_in_lists_end_before_the_memory_does() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        schema = {"type": "array", "minItems": 100, "items": schema}
    assert len((await chat(said(schema=schema))).completion.text) < 1_000_000


async def test_media_are_counted() -> None:
    image = Media(kind=MediaKind.IMAGE, data=b"GIF89a", mime="image/gif")
    result = await chat(said(media=image))
    assert "and 1 media" in result.completion.text
    assert result.usage.images == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("refused", ProviderRefused),
        ("rate_limited", ProviderRateLimited),
        ("auth", ProviderAuth),
        ("quota", ProviderQuota),
        ("bad_answer", ProviderBadAnswer),
        ("tls", ProviderTls),
        ("failed", ProviderFailed),
        ("unreachable", ProviderUnreachable),
        ("timeout", ProviderTimeout),
        ("418", ProviderRefused),
        (401, ProviderAuth),
        (402, ProviderQuota),
        (429, ProviderRateLimited),
        (529, ProviderFailed),
    ],
)
async def test_every_error_strikes_by_name_of_the_model_and_by_extra(
    error: str | int, kind: type[UpstreamError]
) -> None:
    with pytest.raises(kind):
        await chat(said(), f"fake-chat?error={error}")
    with pytest.raises(kind) as caught:
        await chat(said(extra={"error": error, "retry_after_s": 7}))
    assert caught.value.retry_after_s == 7
    _, failure = await streamed(said(extra={"error": error}))
    assert isinstance(failure, kind)


async def test_an_error_may_strike_at_the_first_attempts_only() -> None:
    where = context()
    for _ in range(2):
        with pytest.raises(ProviderFailed):
            await chat(said(), "fake-chat?error=failed&error_attempts=2", where=where)
    assert (await chat(said(), "fake-chat?error=failed&error_attempts=2", where=where)).completion.text


async def test_a_cut_stream_gives_so_many_pieces_and_then_fails() -> None:
    items, error = await streamed(said(), "fake-chat?cut_after=3")
    assert [item.text for item in items] == ["This", " is", " a"]
    assert isinstance(error, ProviderBadAnswer)
    items, error = await streamed(said(), "fake-chat?cut_after=2&error=529")
    assert len(items) == 2
    assert isinstance(error, ProviderFailed)
    items, error = await streamed(said(), "fake-chat?cut_after=1000")
    assert not any(isinstance(item, ChatResult) for item in items)
    assert isinstance(error, ProviderBadAnswer)


@pytest.mark.parametrize(("usage", "count"), [("negative", -7), ("huge", 10**15), ("zero", 0)])
async def test_usage_can_be_wrong(usage: str, count: int) -> None:
    told = (await chat(said(), f"fake-chat?usage={usage}")).usage
    assert (told.input, told.output, told.source) == (count, count, "provider")


async def test_usage_can_be_missing() -> None:
    assert (await chat(said(), "fake-chat?usage=missing")).usage.source == "none"


async def test_latency_passes_and_ends_at_the_deadline() -> None:
    where = context()
    await chat(said(), "fake-chat?latency_ms=30", where=where)
    assert where.timing.upstream_s >= 0.03
    started = monotonic()
    with pytest.raises(ProviderTimeout):
        await chat(said(), "fake-chat?latency_ms=60000", where=context(0.05))
    assert monotonic() - started < 5


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        ("gpt-4o", None),
        ("fake-chat?eror=failed", None),
        ("fake-chat?error=banana", None),
        ("fake-chat?latency_ms=soon", None),
        ("fake-chat?latency_ms=nan", None),
        ("fake-chat", {"dimensions": 0}),
        ("fake-chat", {"error": 200}),
        ("fake-chat", {"unheard": 1}),
    ],
)
def test_what_is_no_fake_model_or_no_switch_is_refused(model: str, extra: dict[str, Any] | None) -> None:
    capability = build().chat
    assert capability is not None
    with pytest.raises(BadRequest):
        capability.prepare(said(extra=extra), Target(provider="fake", model=model))


def test_options_that_are_no_switches_are_refused_when_the_row_is_made() -> None:
    with pytest.raises(ValueError, match="latency"):
        build(options={"latency": 5})


async def test_vectors_are_unit_vectors_of_their_content_in_order() -> None:
    capability = build(options={"dimensions": 16}).embedding
    assert capability is not None
    image = Media(kind=MediaKind.IMAGE, base64="R0lGODlh", mime="image/gif")
    call = EmbeddingCall(items=("a", "b", "a", image))
    target = Target(provider="fake", model="fake-embedding")
    result = await capability.execute(capability.prepare(call, target), context())
    first, second, third, fourth = (msgspec.convert(vector, list[float]) for vector in result.vectors)
    assert first == third
    assert len({tuple(vector) for vector in (first, second, fourth)}) == 3
    for vector in (first, second, fourth):
        assert len(vector) == 16
        assert math.isclose(sum(value * value for value in vector), 1.0)
    longer = EmbeddingCall(items=("a",), parameters=Parameters(dimensions=256))
    result = await capability.execute(capability.prepare(longer, target), context())
    assert len(msgspec.convert(result.vectors[0], list[float])) == 256


async def test_a_transcript_says_what_it_was_made_of() -> None:
    capability = build().transcription
    assert capability is not None
    audio = Media(kind=MediaKind.AUDIO, data=bytes(64_000), mime="audio/wav")
    call = TranscriptionCall(audio=audio, parameters=Parameters(response_format="words"))
    target = Target(provider="fake", model="fake-transcription")
    result = await capability.execute(capability.prepare(call, target), context())
    assert result.transcript.text == "This is a fake transcript of 64000 bytes of audio."
    assert result.transcript.duration_s == 2.0
    assert result.usage.audio_ms == 2_000
    assert [word.word for word in result.transcript.words or ()] == result.transcript.text.split()


def test_the_row_serves_every_operation_but_plugins() -> None:
    row = build(name="demo")
    assert row.name == "demo"
    for operation in Operation:
        assert (row.capability(operation) is None) == (operation is Operation.PLUGIN)
