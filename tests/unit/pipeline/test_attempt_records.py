"""What each attempt used and cost, beside the call that they were made for."""

import pytest

from inferway.errors import ProviderBadAnswer, ProviderFailed
from inferway.usage.records import AttemptRecord
from tests.unit.pipeline.kit import Kit, Scripted, row, said
from tests.unit.pipeline.test_life import Recorder

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def costs(attempts: tuple[AttemptRecord, ...]) -> list[tuple[str, int | None]]:
    return [(each.outcome, each.cost_microusd) for each in attempts]


async def test_the_only_attempt_says_nothing_twice_and_is_itemized_with_the_calls_own_usage() -> None:
    kit = Kit(row("a", Scripted(said("one two"))))
    await kit.infer()
    (record,) = kit.ledger.records
    assert (record.attempts[0].usage, record.attempts[0].cost_microusd) == (None, None)
    (attempt,) = record.itemized()
    assert (attempt.usage, attempt.cost_microusd) == (record.usage, record.cost_microusd)
    assert record.cost_microusd
    assert record.retries == 0


async def test_an_attempt_that_was_refused_cost_nothing_and_the_next_one_what_it_used() -> None:
    kit = Kit(row("a", Scripted(ProviderFailed("no"), said("x"))))
    await kit.infer()
    (record,) = kit.ledger.records
    assert costs(record.itemized()) == [("provider_error", 0), ("ok", record.cost_microusd)]
    assert record.itemized()[1].usage == record.usage
    assert record.retries == 1


async def test_an_attempt_that_may_have_been_billed_has_no_cost_rather_than_none() -> None:
    cut = ProviderBadAnswer("cut")
    cut.retryable = True
    kit = Kit(row("a", Scripted(cut)), row("b", Scripted(said("x"))))
    await kit.infer(fallbacks=[{"provider": "b", "model": "m"}])
    (record,) = kit.ledger.records
    first, *_, last = record.itemized()
    assert (first.outcome, first.cost_microusd, first.usage) == ("provider_bad_answer", None, None)
    assert (last.provider, last.cost_microusd) == ("b", record.cost_microusd)


async def test_an_answer_that_was_thrown_away_for_a_repair_has_its_own_cost() -> None:
    kit = Kit(row("a", Scripted(said("not json"), said('{"n": 3}'))))
    await kit.infer(parameters={"schema": SCHEMA})
    (record,) = kit.ledger.records
    parts = [attempt.cost_microusd for attempt in record.itemized()]
    assert len(parts) == 2
    assert all(parts)
    assert sum(part or 0 for part in parts) == record.cost_microusd
    assert record.retries == 0


async def test_attempts_of_prompts_side_by_side_keep_their_own_usage() -> None:
    kit = Kit(row("a", Scripted(said("a"), said("b b b b b b b b b b b b b b"))))
    await kit.infer(inputs={"prompts": ["1", "2"]})
    (record,) = kit.ledger.records
    outputs = [attempt.usage.output for attempt in record.itemized() if attempt.usage]
    assert len(outputs) == 2
    assert sum(outputs) == record.usage.output


@pytest.mark.parametrize(("streamed", "told"), [(True, True), (False, False)])
async def test_the_time_to_the_first_piece_is_told_of_streams(streamed: bool, told: bool) -> None:  # noqa: FBT001 - a table's column
    kit = Kit(row("a", Scripted(said("one two"))))
    await kit.infer(Recorder() if streamed else None, stream=streamed)
    (record,) = kit.ledger.records
    assert (record.first_event_ms is not None) == told
    assert record.first_event_ms is None or 0 < record.first_event_ms <= record.latency_ms
