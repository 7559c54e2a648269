"""The provider row `local`: what reaches an engine, what comes back, what is refused or told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from inferway.errors import BadRequest, GatewayError, ProviderTimeout
from inferway.providers.base import Context, Provider, Target
from inferway.providers.local.catalogue import load_catalogue
from inferway.providers.local.engine import (
    ChatTask,
    Chatted,
    ChatTurn,
    Delta,
    Embedded,
    EmbedTask,
    HeardSegment,
    Limits,
    Output,
    Task,
    Ticket,
    Transcribed,
    TranscribeTask,
)
from inferway.providers.local.pool import LocalEnginePool
from inferway.providers.local.provider import make_provider
from inferway.providers.local.shelf import Shelf
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
    ToolCall,
    TranscriptionCall,
)

MINILM, WHISPER, SMOLLM = "all-minilm-l6-v2", "whisper-tiny.en", "smollm2-135m-instruct"
CHATTED = Chatted(text="Hi you", finish_reason="stop", prompt_tokens=7, completion_tokens=2)
HEARD = Transcribed(
    text="two words",
    language="en",
    duration_s=1.5,
    completion_tokens=4,
    segments=(HeardSegment(start_s=0.0, end_s=1.5, text="two words"),),
    words=(
        HeardSegment(start_s=0.0, end_s=0.7, text="two"),
        HeardSegment(start_s=0.7, end_s=1.5, text="words"),
    ),
)


class Scripted:
    """An engine inside this process that notes its tasks and answers by their kind."""

    def __init__(self, tasks: list[Task], chatted: Chatted) -> None:
        self.died = asyncio.Event()
        self._tasks = tasks
        self._chatted = chatted

    async def load(self) -> Limits:
        return Limits()

    async def run(self, batch: Sequence[Ticket]) -> None:
        for ticket in batch:
            self._tasks.append(ticket.task)
            for event in self._answer(ticket.task):
                ticket.put(event)

    def memory_bytes(self) -> int:
        return 1

    async def close(self) -> None:
        self.died.set()

    def _answer(self, task: Task) -> tuple[Delta | Output, ...]:
        match task:
            case EmbedTask(texts=texts):
                vectors = tuple(b"[%d,0.5]" % number for number in range(len(texts)))
                cut = tuple(number for number, text in enumerate(texts) if text == "long")
                return (Embedded(vectors=vectors, prompt_tokens=9, truncated=cut),)
            case TranscribeTask():
                return (HEARD,)
            case _:
                return (Delta(text="Hi"), Delta(text=" you"), self._chatted)


class Bench:
    """The provider with what its engines were given."""

    def __init__(self, shelf: Shelf) -> None:
        self.tasks: list[Task] = []
        self.chatted = CHATTED
        catalogue = load_catalogue()
        self.pool = LocalEnginePool(catalogue, shelf, start=lambda _model: Scripted(self.tasks, self.chatted))
        self.provider: Provider = make_provider(catalogue, shelf, self.pool)
        self.context = Context(request_id="req_1", deadline=Deadline.after(20))

    async def call(self, operation: Operation, call: Any, model: str) -> Any:
        capability = self.provider.capability(operation)
        assert capability is not None
        prepared = capability.prepare(call, Target(provider="local", model=model))
        return prepared.adaptations, await capability.execute(prepared, self.context)


class OpenShelf(Shelf):
    """A shelf on which every model lies intact."""

    def state(self, model: object) -> Any:  # noqa: ARG002
        return "pulled"

    def is_intact(self, model: object) -> bool:  # noqa: ARG002
        return True


@pytest.fixture
async def bench(shelf: Shelf) -> AsyncIterator[Bench]:
    made = Bench(OpenShelf(shelf.folder))
    yield made
    await made.pool.aclose()


def _parameters(**given: object) -> Parameters:
    return msgspec.convert(given, Parameters)


def _chat(*messages: Message, **given: object) -> ChatCall:
    return ChatCall(messages=messages or (_say("user", "Hello"),), parameters=_parameters(**given))


def _say(role: Any, text: str) -> Message:
    return Message(role=role, content=(TextPart(text=text),))


def _as_json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _refused(capability: Any, call: Any, model: str) -> GatewayError:
    with pytest.raises(BadRequest) as caught:
        capability.prepare(call, Target(provider="local", model=model))
    return caught.value


async def test_a_conversation_reaches_the_engine_with_all_its_parameters(bench: Bench) -> None:
    schema = {"type": "object"}
    call = _chat(
        _say("system", "Be brief."),
        _say("user", "Hello"),
        _say("assistant", "Hi"),
        _say("user", "Bye"),
        temperature=0.5,
        top_p=0.9,
        seed=3,
        max_tokens=11,
        stop=["x"],
        schema=schema,
        extra={"top_k": 4},
    )
    adaptations, result = await bench.call(Operation.CHAT, call, SMOLLM)
    assert bench.tasks == [
        ChatTask(
            turns=(
                ChatTurn(role="system", content="Be brief."),
                ChatTurn(role="user", content="Hello"),
                ChatTurn(role="assistant", content="Hi"),
                ChatTurn(role="user", content="Bye"),
            ),
            temperature=0.5,
            top_p=0.9,
            seed=3,
            max_tokens=11,
            stop=("x",),
            schema=schema,
            extra={"top_k": 4},
        )
    ]
    assert adaptations == ()
    assert result.completion.text == "Hi you"
    assert result.completion.finish_reason == "stop"
    assert result.completion.structured.method == "grammar"
    assert result.usage.tokens_used() == {"prompt": 7, "completion": 2, "total": 9}
    assert result.usage.source == "measured"
    assert result.model == SMOLLM


async def test_an_answer_of_a_minimal_model_says_so(bench: Bench) -> None:
    _, result = await bench.call(Operation.CHAT, _chat(), SMOLLM)
    assert result.warnings[0].startswith("quality: minimal - smollm2-135m-instruct")


async def test_an_answer_that_our_own_bound_cut_says_how_to_get_more(bench: Bench) -> None:
    bench.chatted = msgspec.structs.replace(CHATTED, finish_reason="length", completion_tokens=512)
    _, result = await bench.call(Operation.CHAT, _chat(), SMOLLM)
    assert "cut after 512 tokens" in result.warnings[1]
    _, result = await bench.call(Operation.CHAT, _chat(max_tokens=512), SMOLLM)
    assert len(result.warnings) == 1


async def test_a_stream_ends_with_what_execute_returns(bench: Bench) -> None:
    chat = bench.provider.chat
    assert chat is not None
    prepared = chat.prepare(_chat(), Target(provider="local", model=SMOLLM))
    events = [event async for event in chat.stream(prepared, bench.context)]
    assert events[:2] == [TextDelta(text="Hi"), TextDelta(text=" you")]
    assert events[2] == await chat.execute(prepared, bench.context)
    assert isinstance(events[2], ChatResult)


async def test_parameters_that_small_models_do_not_take_are_told(bench: Bench) -> None:
    call = _chat(tools=[{"name": "look"}], reasoning_effort="low", temperature=9, extra={"grammar": "x"})
    adaptations, _ = await bench.call(Operation.CHAT, call, SMOLLM)
    assert {(each.field, each.action) for each in adaptations} == {
        ("parameters.tools", "dropped"),
        ("parameters.reasoning_effort", "dropped"),
        ("parameters.temperature", "clamped"),
        ("parameters.extra.grammar", "dropped"),
    }
    assert bench.tasks[0].temperature == 2  # type: ignore[union-attr]


def test_what_a_small_model_cannot_do_is_refused(bench: Bench) -> None:
    chat = bench.provider.chat
    assert chat is not None
    tools = {"tools": [{"name": "look"}]}
    calls = (
        _chat(**tools, tool_choice="required"),
        _chat(**tools, tool_choice={"name": "look"}),
        _chat(Message(role="assistant", tool_calls=(ToolCall(id="1", name="look", arguments={}),))),
        _chat(Message(role="tool", tool_call_id="1", content=(TextPart(text="seen"),))),
        _chat(Message(role="user", content=(MediaPart(media=Media(kind=MediaKind.IMAGE, base64="")),))),
        _chat(schema=False),
    )
    for call in calls:
        _refused(chat, call, SMOLLM)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"schema": {"type": "integer", "maximum": 2**64}}, "schema"),
        ({"extra": {"top_k": -(2**64)}}, "extra"),
    ],
)
def test_a_number_that_the_engine_cannot_be_told_is_refused(
    bench: Bench, given: dict[str, object], name: str
) -> None:
    refused = _refused(bench.provider.capability(Operation.CHAT), _chat(**given), SMOLLM)
    assert refused.code == "number_too_large"
    assert f"parameters.{name} " in refused.message


def test_an_unknown_or_misused_model_is_refused_with_the_models_there_are(bench: Bench) -> None:
    chat = bench.provider.chat
    assert chat is not None
    unknown = _refused(chat, _chat(), "gpt-4o")
    assert unknown.details is not None
    assert SMOLLM in unknown.details["models"]
    misused = _refused(chat, _chat(), MINILM)
    assert misused.details is not None
    assert misused.details["models"] == [SMOLLM, "qwen2.5-coder-0.5b-instruct"]


async def test_an_alias_and_default_mean_a_model_of_the_catalogue(bench: Bench) -> None:
    embedding = EmbeddingCall(items=("a",))
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "default"):
        _, result = await bench.call(Operation.TEXT_EMBEDDING, embedding, name)
        assert result.model == MINILM
    # Everything is pulled here, so the best chat model is meant.
    _, result = await bench.call(Operation.CHAT, _chat(), "default")
    assert result.model == "qwen2.5-coder-0.5b-instruct"
    assert result.warnings[0].startswith("quality: demo")


async def test_vectors_come_back_in_order_and_unread(bench: Bench) -> None:
    adaptations, result = await bench.call(
        Operation.TEXT_EMBEDDING, EmbeddingCall(items=("a", "b", "long")), MINILM
    )
    assert bench.tasks == [EmbedTask(texts=("a", "b", "long"))]
    assert [bytes(vector) for vector in result.vectors] == [b"[0,0.5]", b"[1,0.5]", b"[2,0.5]"]
    assert (result.usage.input, result.usage.vectors, result.usage.source) == (9, 3, "measured")
    assert result.warnings == ("texts above 256 tokens were cut: all-minilm-l6-v2 reads no more",)
    assert adaptations == ()


async def test_other_dimensions_than_the_models_own_are_told(bench: Bench) -> None:
    own = EmbeddingCall(items=("a",), parameters=_parameters(dimensions=384))
    other = EmbeddingCall(items=("a",), parameters=_parameters(dimensions=100))
    assert (await bench.call(Operation.TEXT_EMBEDDING, own, MINILM))[0] == ()
    (told,) = (await bench.call(Operation.TEXT_EMBEDDING, other, MINILM))[0]
    assert (told.field, told.action) == ("parameters.dimensions", "dropped")


async def test_a_recording_comes_back_in_the_detail_that_was_asked(bench: Bench) -> None:
    audio = Media(kind=MediaKind.AUDIO, data=b"sound")
    given = {"language": "en", "prompt": "names", "temperature": 0.0, "response_format": "words"}
    call = TranscriptionCall(audio=audio, parameters=_parameters(**given))
    adaptations, result = await bench.call(Operation.TRANSCRIPTION, call, WHISPER)
    assert bench.tasks == [
        TranscribeTask(audio=b"sound", language="en", prompt="names", temperature=0.0, detail="words")
    ]
    assert adaptations == ()
    assert _as_json(result.transcript) == {
        "text": "two words",
        "language": "en",
        "duration_s": 1.5,
        "segments": [{"start_s": 0.0, "end_s": 1.5, "text": "two words"}],
        "words": [
            {"start_s": 0.0, "end_s": 0.7, "word": "two"},
            {"start_s": 0.7, "end_s": 1.5, "word": "words"},
        ],
    }
    assert (result.usage.audio_ms, result.usage.output, result.usage.source) == (1500, 4, "measured")
    _, plain = await bench.call(Operation.TRANSCRIPTION, TranscriptionCall(audio=audio), WHISPER)
    assert _as_json(plain.transcript) == {"text": "two words", "language": "en", "duration_s": 1.5}


def test_a_language_or_detail_that_there_is_not_is_refused(bench: Bench) -> None:
    capability = bench.provider.transcription
    assert capability is not None
    audio = Media(kind=MediaKind.AUDIO, data=b"sound")
    for given in ({"language": "de"}, {"response_format": "srt"}):
        call = TranscriptionCall(audio=audio, parameters=_parameters(**given))
        _refused(capability, call, WHISPER)


def test_there_is_no_local_vision_and_no_media_embedding(bench: Bench) -> None:
    for operation in (Operation.VISION, Operation.IMAGE_EMBEDDING, Operation.VIDEO_EMBEDDING):
        assert bench.provider.capability(operation) is None


async def test_a_deadline_that_passes_is_a_timeout_and_counts_the_time(bench: Bench) -> None:
    class Stuck(Scripted):
        async def run(self, batch: Sequence[Ticket]) -> None:  # noqa: ARG002
            await self.died.wait()

    pool = LocalEnginePool(
        load_catalogue(), OpenShelf(bench.pool._shelf.folder), start=lambda _model: Stuck([], CHATTED)
    )
    provider = make_provider(load_catalogue(), bench.pool._shelf, pool)
    assert provider.chat is not None
    context = Context(request_id="req_1", deadline=Deadline.after(0.5))
    prepared = provider.chat.prepare(_chat(), Target(provider="local", model=SMOLLM))
    with pytest.raises(ProviderTimeout):
        await provider.chat.execute(prepared, context)
    assert context.timing.attempts == 1
    assert context.timing.upstream_s > 0.3
    await pool.aclose()
