"""The one life of a request, with scripted providers."""

import asyncio
from typing import Any

import msgspec
import pytest

from inferway.errors import (
    BadRequest,
    GatewayError,
    JournalFull,
    NotFound,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
)
from inferway.pipeline.answer import error_body
from inferway.pipeline.life import Bounds
from inferway.providers.base import Target
from inferway.types import (
    Adaptation,
    ChatEvent,
    ChatResult,
    Completion,
    EmbeddingResult,
    FinishReason,
    Structured,
    TextDelta,
    ToolCall,
    Usage,
)
from tests.unit.pipeline.kit import Kit, Scripted, chat_of, row, said, texts, vectors_of


class Recorder:
    """A sink that writes events down."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    async def delta(self, index: int, target: Target, event: ChatEvent) -> None:
        assert isinstance(event, TextDelta)
        self.events.append(("delta", index, target.provider, event.text))

    async def item(self, index: int, target: Target, finish_reason: str | None) -> None:
        self.events.append(("item", index, target.provider, finish_reason))

    async def failed(self, index: int, error: dict[str, object]) -> None:
        self.events.append(("failed", index, error["code"]))


async def test_a_prompt_is_answered_accounted_for_and_priced() -> None:
    kit = Kit(row("a", Scripted(said("hello"))))
    answer = await kit.infer()
    assert texts(answer) == ["hello"]
    assert (answer.provider, answer.model, answer.request_id) == ("a", "m", "req_1")
    assert answer.tokens_used == {"prompt": 1, "completion": 1, "total": 2}
    assert answer.cost_usd == 2e-06
    (record,) = kit.ledger.records
    assert record.record_id == kit.ledger.intents[0].record_id
    assert (record.status, record.cost_microusd, len(record.attempts)) == ("ok", 2, 1)


async def test_prompts_run_side_by_side_within_a_bound_and_keep_their_order() -> None:
    scripted = Scripted(lambda call: said(chat_of(call).messages[-1].text()))
    kit = Kit(row("a", scripted), bounds=Bounds(prompt_concurrency=3))
    prompts = [f"p{index}" for index in range(10)]
    answer = await kit.infer(inputs={"prompts": prompts})
    assert texts(answer) == prompts
    assert scripted.most_running == 3
    assert answer.tokens_used == {"prompt": 10, "completion": 10, "total": 20}


async def test_some_prompts_failing_is_told_item_by_item() -> None:
    def step(call: Any) -> Any:
        text = chat_of(call).messages[-1].text()
        return ProviderRefused("no", code="refused") if text == "bad" else said(text)

    kit = Kit(row("a", Scripted(step)))
    answer = await kit.infer(inputs={"prompts": ["one", "bad", "two"]})
    good, bad, other = answer.data.completions
    assert (good.text, other.text) == ("one", "two")
    assert bad.error == {"message": "no", "type": "BadRequestError", "code": "refused"}
    assert bad.finish_reason is None
    assert kit.ledger.records[0].status == "partial"


async def test_all_prompts_failing_is_the_error_itself() -> None:
    kit = Kit(row("a", Scripted(ProviderRefused("no"))))
    with pytest.raises(ProviderRefused):
        await kit.infer(inputs={"prompts": ["one", "two"]})
    (record,) = kit.ledger.records
    assert (record.status, record.error_type, record.error_code) == (
        "error",
        "BadRequestError",
        "provider_refused",
    )


async def test_a_retryable_failure_is_tried_again_with_growing_waits() -> None:
    scripted = Scripted(ProviderFailed("1"), ProviderFailed("2"), said("third"))
    kit = Kit(row("a", scripted))
    answer = await kit.infer()
    assert texts(answer) == ["third"]
    assert kit.slept == [0.5, 1.0]
    assert [attempt.outcome for attempt in kit.ledger.records[0].attempts] == [
        "provider_error",
        "provider_error",
        "ok",
    ]


async def test_three_attempts_are_all_there_are() -> None:
    scripted = Scripted(ProviderFailed("down"))
    with pytest.raises(ProviderFailed) as caught:
        await Kit(row("a", scripted)).infer()
    assert len(scripted.calls) == 3
    assert error_body(caught.value)["details"]["retryable"] is False


@pytest.mark.parametrize("error", [ProviderRefused("x"), ProviderBadAnswer("x"), ProviderTimeout("x")])
async def test_what_is_not_retryable_is_tried_once(error: GatewayError) -> None:
    scripted = Scripted(error)
    with pytest.raises(type(error)):
        await Kit(row("a", scripted)).infer()
    assert len(scripted.calls) == 1


async def test_a_providers_hint_is_waited_for_and_one_that_is_too_long_ends_the_attempts() -> None:
    kit = Kit(row("a", Scripted(ProviderRateLimited("x", retry_after_s=7), said("ok"))))
    await kit.infer()
    assert kit.slept == [7]
    scripted = Scripted(ProviderRateLimited("x", retry_after_s=31))
    with pytest.raises(ProviderRateLimited):
        await Kit(row("a", scripted)).infer()
    assert len(scripted.calls) == 1


async def test_fallbacks_are_tried_in_order_when_a_failure_is_retryable_and_that_is_told() -> None:
    down, up = Scripted(ProviderFailed("down")), Scripted(said("from b"))
    kit = Kit(row("a", down), row("b", up))
    answer = await kit.infer(fallbacks=[{"provider": "b", "model": "n"}])
    assert (answer.provider, answer.model) == ("b", "n")
    assert any("answered by b n" in warning for warning in answer.warnings)
    assert len(down.calls) == 2
    assert kit.ledger.records[0].provider == "b"


async def test_a_refusal_does_not_fall_back() -> None:
    other = Scripted(said("x"))
    with pytest.raises(ProviderRefused):
        await Kit(row("a", Scripted(ProviderRefused("no"))), row("b", other)).infer(
            fallbacks=[{"provider": "b", "model": "n"}]
        )
    assert other.calls == []


async def test_a_parameter_that_the_provider_refuses_by_name_is_left_out_and_tried_once_more() -> None:
    refused = ProviderRefused("unsupported")
    refused.parameter = "temperature"
    scripted = Scripted(refused, said("ok"))
    answer = await Kit(row("a", scripted)).infer(parameters={"temperature": 0.5})
    assert texts(answer) == ["ok"]
    assert scripted.facts[-1] == {"temperature": False}
    scripted = Scripted(refused, said("ok"))
    with pytest.raises(ProviderRefused):
        await Kit(row("a", scripted)).infer(parameters={"temperature": 0.5, "strict": True})


async def test_adaptations_are_told_and_refused_under_strict() -> None:
    lost = Adaptation(field="parameters.seed", action="dropped", reason="no seed there")
    kit = Kit(row("a", Scripted(said("ok"), adaptations=(lost,))))
    assert (await kit.infer()).adaptations == (lost,)
    with pytest.raises(BadRequest) as caught:
        await kit.infer(parameters={"strict": True})
    assert caught.value.code == "strict"
    assert "parameters.seed" in caught.value.message


async def test_texts_beyond_a_batch_are_split_and_joined_in_order() -> None:
    scripted = Scripted(vectors_of, max_batch=3)
    answer = await Kit(row("a", scripted)).infer(inputs={"texts": [str(index) for index in range(10)]})
    assert answer.data == {"embeddings": tuple([float(index)] for index in range(10))}
    assert sorted(len(call.items) for call in scripted.calls) == [1, 3, 3, 3]
    assert answer.tokens_used == {"prompt": 10, "completion": 0, "total": 10}


async def test_one_text_gets_one_embedding() -> None:
    answer = await Kit(row("a", Scripted(vectors_of, max_batch=3))).infer(inputs={"text": "7"})
    assert answer.data == {"embedding": [7.0]}


async def test_as_many_vectors_as_items_or_an_error() -> None:
    short = EmbeddingResult(vectors=([1.0],), usage=Usage(input=1, source="provider"))
    with pytest.raises(ProviderBadAnswer):
        await Kit(row("a", Scripted(short, max_batch=9))).infer(inputs={"texts": ["1", "2"]})


async def test_all_vectors_of_a_call_come_from_one_model() -> None:
    def fails_for_4(call: Any) -> Any:
        return ProviderFailed("down") if "4" in call.items else vectors_of(call)

    kit = Kit(row("a", Scripted(fails_for_4, max_batch=2)), row("b", Scripted(vectors_of, max_batch=4)))
    answer = await kit.infer(
        inputs={"texts": ["1", "2", "3", "4", "5"]}, fallbacks=[{"provider": "b", "model": "n"}]
    )
    assert answer.provider == "b"
    assert answer.data == {"embeddings": ([1.0], [2.0], [3.0], [4.0], [5.0])}


async def test_a_call_is_not_acknowledged_when_it_cannot_be_recorded() -> None:
    kit = Kit(row("a", Scripted(said("ok"))))
    kit.ledger.failure = JournalFull("full")
    with pytest.raises(JournalFull):
        await kit.infer()


async def test_the_deadline_ends_a_call() -> None:
    async def forever() -> None:
        await asyncio.sleep(60)

    kit = Kit(row("a", Scripted(lambda _: forever())))
    with pytest.raises(ProviderTimeout):
        await kit.infer(parameters={"timeout_s": 0.05})
    assert kit.ledger.records[0].error_code == "timeout"


async def test_a_caller_that_leaves_cancels_the_upstream_and_is_settled() -> None:
    entered = asyncio.Event()

    async def forever() -> None:
        entered.set()
        await asyncio.sleep(60)

    scripted = Scripted(lambda _: forever())
    kit = Kit(row("a", scripted))
    task = asyncio.create_task(kit.infer())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scripted.running == 0
    assert [record.status for record in kit.ledger.records] == ["client_disconnected"]


async def test_a_defect_is_settled_and_raised() -> None:
    kit = Kit(row("a", Scripted(RuntimeError("bug"))))
    with pytest.raises(RuntimeError):
        await kit.infer()
    assert [(record.status, record.error_type) for record in kit.ledger.records] == [
        ("error", "InternalServerError")
    ]


async def test_an_unpriced_call_costs_null_and_never_zero() -> None:
    kit = Kit(row("unpriced", Scripted(said("x"))))
    answer = await kit.infer(provider="unpriced")
    assert answer.cost_usd is None
    assert kit.ledger.records[0].cost_microusd is None
    assert kit.pricer.unpriced == ["unpriced/m"]


async def test_a_stream_sends_events_and_ends_with_the_whole_answer() -> None:
    sink = Recorder()
    answer = await Kit(row("a", Scripted(said("one two")))).infer(sink, stream=True)
    assert sink.events == [("delta", 0, "a", "one"), ("delta", 0, "a", "two"), ("item", 0, "a", "stop")]
    assert texts(answer) == ["one two"]


async def test_nothing_is_tried_again_after_the_first_event() -> None:
    class Breaks(Scripted):
        async def stream(self, prepared: Any, context: Any) -> Any:
            del context
            self.calls.append(prepared.call)
            yield TextDelta(text="half")
            raise ProviderFailed("broke")

    scripted = Breaks(said("x"))
    with pytest.raises(ProviderFailed) as caught:
        await Kit(row("a", scripted), row("b", Scripted(said("y")))).infer(
            Recorder(), stream=True, fallbacks=[{"provider": "b", "model": "n"}]
        )
    assert len(scripted.calls) == 1
    assert caught.value.retryable is False


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_a_structured_answer_is_parsed_and_checked() -> None:
    answer = await Kit(row("a", Scripted(said('{"n": 3}')))).infer(parameters={"schema": SCHEMA})
    item = answer.data.completions[0]
    assert item.parsed == {"n": 3}
    assert (item.structured.valid, item.structured.repairs) == (True, 0)


async def test_an_invalid_answer_is_asked_for_once_more_with_what_was_wrong_and_both_are_counted() -> None:
    scripted = Scripted(said('{"n": "x"}'), said('{"n": 3}'))
    answer = await Kit(row("a", scripted)).infer(parameters={"schema": SCHEMA})
    item = answer.data.completions[0]
    assert (item.parsed, item.structured.valid, item.structured.repairs) == ({"n": 3}, True, 1)
    assert answer.tokens_used == {"prompt": 2, "completion": 2, "total": 4}
    again = chat_of(scripted.calls[1]).messages
    assert again[-2].text() == '{"n": "x"}'
    assert "integer" in again[-1].text()


async def test_alternatives_are_parsed_and_checked_too_and_none_is_asked_for_again() -> None:
    given: list[tuple[str, FinishReason]] = [('{"n": 4}', "stop"), ('{"n": "x"}', "stop"), ('{"n"', "length")]
    asked = Structured(method="native", valid=False)
    others = [Completion(text=text, finish_reason=finish, structured=asked) for text, finish in given]
    scripted = Scripted(said('{"n": 3}', alternatives=tuple(others)))
    answer = await Kit(row("a", scripted)).infer(parameters={"schema": SCHEMA})
    found = answer.data.completions[0].alternatives
    assert [(each.parsed, each.structured.valid) for each in found] == [
        ({"n": 4}, True),
        ({"n": "x"}, False),
        (msgspec.UNSET, False),
    ]
    assert len(scripted.calls) == 1


async def test_repair_can_be_switched_off() -> None:
    scripted = Scripted(said("not json"))
    answer = await Kit(row("a", scripted)).infer(parameters={"schema": SCHEMA, "repair": False})
    item = answer.data.completions[0]
    assert len(scripted.calls) == 1
    assert (item.structured.valid, item.text) == (False, "not json")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objec"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "http://127.0.0.1:1/x"},
        {"$ref": "#/nowhere"},
        {"type": "string", "pattern": "("},
        {"properties": {"a": {"minimum": "x"}}},
    ],
)
async def test_an_impossible_schema_is_the_callers_400_before_anything_is_sent(
    schema: dict[str, Any],
) -> None:
    scripted = Scripted(said("{}"))
    with pytest.raises(BadRequest) as caught:
        await Kit(row("a", scripted)).infer(parameters={"schema": schema})
    assert caught.value.code == "impossible_schema"
    assert caught.value.message.startswith("parameters/schema")
    assert scripted.calls == []


async def test_a_dry_run_calls_nobody_and_costs_nothing() -> None:
    scripted = Scripted(said("x"))
    kit = Kit(row("a", scripted))
    answer = await kit.infer(dry_run=True, parameters={"max_tokens": 10})
    assert scripted.calls == []
    assert answer.cost_usd == 0
    assert answer.data["targets"][0]["estimate"] == {
        "prompt_tokens": 1,
        "max_completion_tokens": 10,
        "cost_usd": 1.1e-05,
    }
    assert kit.ledger.records == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"provider": "nobody"}, "unknown_provider"),
        ({"inputs": {"audio_base64": "aaaa"}}, "operation_unsupported"),
        ({"inputs": {"text": "a"}, "stream": True}, "stream_unsupported"),
        ({"inputs": {"prompts": ["a"] * 300}}, "too_many_prompts"),
        ({"fallbacks": [{"provider": "nobody", "model": "x"}]}, "unknown_provider"),
        ({"inputs": {"prompts": ["a"], "system": "s"}, "parameters": {"system": "s"}}, "conflicting_inputs"),
    ],
)
async def test_what_cannot_be_executed_is_a_400_before_anything_is_sent(
    body: dict[str, Any], code: str
) -> None:
    scripted = Scripted(said("x"))
    with pytest.raises(BadRequest) as caught:
        await Kit(row("a", scripted)).infer(**body)
    assert caught.value.code == code
    assert scripted.calls == []


@pytest.mark.parametrize(
    ("address", "resource", "name"),
    [
        ({"inference_name": "custom_plugin_embedder_1_0_0"}, "plugin", "embedder_1_0_0"),
        ({"feature_uri": "mixpeek://text@v1/out"}, "feature_uri", "mixpeek://text@v1/out"),
    ],
)
async def test_a_plugin_that_is_not_there_is_a_404(address: dict[str, str], resource: str, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        await Kit().infer(provider=None, model=None, **address)
    assert caught.value.details == {"resource": resource, "id": name}


async def test_a_semantic_cache_that_is_off_is_said_to_be_off() -> None:
    answer = await Kit(row("a", Scripted(said("x")))).infer(enable_semantic_cache=True, cache_delta=0.01)
    assert any("semantic cache is off" in warning for warning in answer.warnings)
    assert answer.cached is False


async def test_missing_token_counts_are_estimated_and_marked() -> None:
    uncounted = said("twelve bytes")
    scripted = Scripted(lambda _: type(uncounted)(completion=uncounted.completion))
    kit = Kit(row("a", scripted))
    answer = await kit.infer()
    assert answer.tokens_used == {"prompt": 1, "completion": 3, "total": 4}
    assert any("estimated" in warning for warning in answer.warnings)
    assert kit.ledger.records[0].usage.source == "estimated"


async def test_an_estimate_counts_all_that_was_written() -> None:
    call = ToolCall(id="call_1", name="weather", arguments={"city": "Oslo"})
    other = Completion(text="12345678", finish_reason="stop")
    completion = Completion(
        text="", finish_reason="tool_calls", tool_calls=(call,), refusal="1234", alternatives=(other,)
    )
    answer = await Kit(row("a", Scripted(ChatResult(completion=completion)))).infer()
    assert answer.tokens_used is not None
    # The refusal and the call have 4 + 7 + 15 bytes, the alternative has 8.
    assert answer.tokens_used["completion"] == 7 + 2
