"""Calls that end badly: what they may have cost, where they go next, and that each leaves one record."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec.structs import replace

from inferway.errors import (
    BadRequest,
    ModelWarming,
    Overloaded,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderLost,
    ProviderTimeout,
    ProviderUnreachable,
    UpstreamError,
)
from inferway.pipeline.life import STOPPING
from inferway.providers.base import Context, Prepared, Target
from inferway.types import Adaptation, ChatEvent, ChatResult, Completion, EmbeddingResult, TextDelta, Usage
from tests.unit.pipeline.kit import Kit, Scripted, row, said, texts, vectors_of
from tests.unit.pipeline.test_life import Recorder

OTHER = [{"provider": "b", "model": "m"}]


class Breaking(Scripted):
    """Streams two words and then what its script says: an error, or nothing for ever. It tells what it counted, if anything."""

    told: Usage | None = None

    async def stream(
        self, prepared: Prepared, context: Context
    ) -> AsyncGenerator[ChatEvent | ChatResult, None]:
        del prepared
        context.timing.attempts += 1
        if self.told is not None and context.told is not None:
            context.told.append(self.told)
        yield TextDelta(text="four")
        yield TextDelta(text="five!")
        step = self.script[0]
        if isinstance(step, BaseException):
            raise step
        await asyncio.Event().wait()


class Waited(Recorder):
    """A sink that says when enough events have come."""

    def __init__(self, events: int) -> None:
        super().__init__()
        self.have_come = asyncio.Event()
        self._left = events

    async def delta(self, index: int, target: Target, event: ChatEvent) -> None:
        await super().delta(index, target, event)
        self._left -= 1
        if not self._left:
            self.have_come.set()


@pytest.mark.parametrize("error", [ModelWarming("loading"), Overloaded("full"), ProviderFailed("no")])
async def test_a_place_that_cannot_serve_now_is_left_for_the_next(error: Exception) -> None:
    kit = Kit(row("a", Scripted(error)), row("b", Scripted(said("there"))))
    assert texts(await kit.infer(fallbacks=OTHER)) == ["there"]


async def test_a_warming_model_is_not_asked_twice_and_its_embeddings_go_elsewhere() -> None:
    cold = Scripted(ModelWarming("loading"), max_batch=10)
    kit = Kit(row("a", cold), row("b", Scripted(vectors_of)))
    answer = await kit.infer(inputs={"texts": ["1", "2"]}, fallbacks=OTHER)
    assert answer.data == {"embeddings": ([1.0], [2.0])}
    assert len(cold.calls) == 1
    assert kit.slept == []


async def test_a_fallback_that_cannot_take_the_call_is_told_before_anybody_is_called() -> None:
    lossy = Adaptation(field="parameters.seed", action="dropped", reason="no seed here")
    first, second = Scripted(said("hello")), Scripted(said("there"), adaptations=(lossy,))
    kit = Kit(row("a", first), row("b", second))
    with pytest.raises(BadRequest) as caught:
        await kit.infer(fallbacks=OTHER, parameters={"strict": True, "seed": 1})
    assert "no seed here" in caught.value.message
    assert first.calls == []
    (record,) = kit.ledger.records
    assert (record.status, record.error_code, record.cost_microusd) == ("error", "strict", 0)


async def test_a_stream_that_breaks_off_is_accounted_for_by_what_was_read() -> None:
    kit = Kit(row("a", Breaking(ProviderBadAnswer("cut"))), row("b", Scripted(said("there"))))
    with pytest.raises(ProviderBadAnswer):
        await kit.infer(Recorder(), stream=True, fallbacks=OTHER)
    (record,) = kit.ledger.records
    assert (record.status, record.error_code) == ("error", "provider_bad_answer")
    assert record.usage == Usage(input=1, output=3, source="estimated")
    assert record.cost_microusd == 4


async def test_what_the_provider_had_counted_of_a_stream_that_breaks_off_is_accounted_for() -> None:
    breaking = Breaking(ProviderBadAnswer("cut"))
    breaking.told = Usage(input=5000, cached_read=70, output=1, reasoning=2, source="provider", raw=b"{}")
    kit = Kit(row("a", breaking))
    with pytest.raises(ProviderBadAnswer):
        await kit.infer(Recorder(), stream=True)
    (record,) = kit.ledger.records
    # Nine bytes were read: three tokens, of which two may be the thoughts that were counted.
    assert record.usage == replace(breaking.told, output=1, source="estimated")
    breaking.told = replace(breaking.told, reasoning=0)
    with pytest.raises(ProviderBadAnswer):
        await kit.infer(Recorder(), stream=True)
    assert kit.ledger.records[1].usage == replace(breaking.told, output=3, source="estimated")


async def test_a_client_that_leaves_a_stream_is_accounted_for_by_what_it_got() -> None:
    kit = Kit(row("a", Breaking(said("never"))))
    sink = Waited(events=2)
    call = asyncio.create_task(kit.infer(sink, stream=True))
    await sink.have_come.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    (record,) = kit.ledger.records
    assert (record.status, record.usage.output, record.usage.source) == (
        "client_disconnected",
        3,
        "estimated",
    )


@pytest.mark.parametrize(
    "error", [ProviderTimeout("late"), ProviderBadAnswer("garbage"), ProviderLost("reset", retryable=False)]
)
async def test_what_may_have_been_billed_is_not_recorded_as_free(error: UpstreamError) -> None:
    kit = Kit(row("a", Scripted(error)))
    with pytest.raises(type(error)):
        await kit.infer()
    assert kit.ledger.records[0].cost_microusd is None


@pytest.mark.parametrize("error", [ProviderFailed("no"), ProviderUnreachable("refused")])
async def test_a_refusal_cost_nothing(error: UpstreamError) -> None:
    kit = Kit(row("a", Scripted(error)))
    with pytest.raises(type(error)):
        await kit.infer()
    assert kit.ledger.records[0].cost_microusd == 0


@pytest.mark.parametrize(
    ("reported", "counted"),
    [(Usage(input=-7, output=2, source="provider"), 2), (Usage(input=10**15, source="provider"), 10**12)],
)
async def test_impossible_counts_are_cut_and_told(reported: Usage, counted: int) -> None:
    result = ChatResult(completion=Completion(text="x", finish_reason="stop"), usage=reported)
    kit = Kit(row("a", Scripted(result)))
    answer = await kit.infer()
    assert answer.tokens_used is not None
    assert answer.tokens_used["total"] == counted
    assert any("estimated" in warning for warning in answer.warnings)
    assert kit.ledger.records[0].usage.source == "estimated"


async def test_a_parameter_that_an_embedding_has_no_place_for_reaches_its_translator() -> None:
    seen: list[Any] = []

    class Watching(Scripted):
        def prepare(self, call: Any, target: Target) -> Prepared:
            seen.append(call.parameters.system)
            return super().prepare(call, target)

    one = EmbeddingResult(vectors=([1.0],), usage=Usage(input=1, source="provider"))
    kit = Kit(row("a", Watching(one)))
    await kit.infer(inputs={"text": "t"}, parameters={"system": "be brief"})
    kit = Kit(row("a", Watching(said("hello"))))
    await kit.infer(parameters={"system": "be brief"})
    assert seen == ["be brief", None]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_stops_is_not_taken_for_a_client_that_left(stream: bool) -> None:  # noqa: FBT001
    begun = asyncio.Event()

    async def never(_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    kit = Kit(row("a", Scripted(never)))
    prompts = {"prompts": ["one", "two"]}
    call = asyncio.create_task(kit.infer(Recorder() if stream else None, stream=stream, inputs=prompts))
    await begun.wait()
    call.cancel(STOPPING)
    await asyncio.gather(call, return_exceptions=True)
    (record,) = kit.ledger.records
    assert (record.status, record.error_code) == ("error", "stopping")
    assert record.cost_microusd is None
