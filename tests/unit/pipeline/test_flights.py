"""Embedding calls that share one call of the provider."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from inferway.errors import GatewayError, ProviderAuth, ProviderBadAnswer, ProviderTimeout
from inferway.pipeline.answer import Answer
from inferway.types import EmbeddingCall, EmbeddingResult
from tests.unit.pipeline.kit import CALLER, Kit, Scripted, row, vectors_of


class Held:
    """A step that waits until it is let go, and says that it was begun."""

    def __init__(self, then: Callable[[Any], Any] = vectors_of) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = False
        self._then = then

    def __call__(self, call: EmbeddingCall) -> Awaitable[EmbeddingResult]:
        return self._run(call)

    async def _run(self, call: EmbeddingCall) -> EmbeddingResult:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        outcome = self._then(call)
        if isinstance(outcome, BaseException):
            raise outcome
        assert isinstance(outcome, EmbeddingResult)
        return outcome


def embed(kit: Kit, **body: Any) -> "asyncio.Task[Answer]":
    fields = {"inputs": {"texts": ["1", "2"]}} | body
    return asyncio.create_task(kit.infer(**fields))


async def settled() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def costs(kit: Kit) -> list[tuple[bool, str | None, int | None, int]]:
    rows = [
        (each.cached, each.cache_kind, each.cost_microusd, each.usage.input) for each in kit.ledger.records
    ]
    return sorted(rows, key=str)


PAID = (False, None, 2, 2)
SHARED = (True, "coalesced", 0, 0)


async def test_the_same_calls_in_flight_are_one_and_one_pays() -> None:
    held = Held()
    scripted = Scripted(held, max_batch=8)
    kit = Kit(row("a", scripted))
    tasks = [embed(kit) for _ in range(5)]
    await held.begun.wait()
    await settled()
    held.go.set()
    answers = await asyncio.gather(*tasks)
    assert len(scripted.calls) == 1
    assert {str(answer.data) for answer in answers} == {str(answers[0].data)}
    assert costs(kit) == [PAID, *[SHARED] * 4]
    told = [(answer.cached, answer.cost_usd, answer.cache, answer.tokens_used) for answer in answers]
    counted = {"prompt": 2, "completion": 0, "total": 2}
    assert told[0] == (False, 2e-6, None, counted)
    assert told[1:] == [(True, 0.0, {"kind": "coalesced", "status": "hit"}, counted)] * 4
    await kit.infer(inputs={"texts": ["1", "2"]})
    assert len(scripted.calls) == 2, "an answer is not kept"


@pytest.mark.parametrize(
    "other",
    [
        {"inputs": {"texts": ["2", "1"]}},
        {"inputs": {"texts": ["12"]}},
        {"inputs": {"texts": ["1", "2"]}, "parameters": {"dimensions": 3}},
        {"model": "other"},
        {"fallbacks": [{"provider": "a", "model": "spare"}]},
        {"caller": replace(CALLER, namespace_id="ns_2")},
    ],
)
async def test_calls_that_differ_are_apart(other: dict[str, Any]) -> None:
    held = Held()
    scripted = Scripted(held, max_batch=8)
    kit = Kit(row("a", scripted))
    tasks = [embed(kit), embed(kit, **other)]
    await settled()
    held.go.set()
    await asyncio.gather(*tasks)
    assert len(scripted.calls) == 2
    assert not any(record.cached for record in kit.ledger.records)


async def test_a_number_of_any_size_may_go_to_the_provider() -> None:
    scripted = Scripted(vectors_of, max_batch=8)
    await Kit(row("a", scripted)).infer(inputs={"texts": ["1", "2"]}, parameters={"extra": {"salt": 10**30}})
    assert [call.parameters.extra for call in scripted.calls] == [{"salt": 10**30}]


async def test_how_long_a_caller_waits_does_not_matter() -> None:
    held = Held()
    scripted = Scripted(held, max_batch=8)
    kit = Kit(row("a", scripted))
    tasks = [embed(kit), embed(kit, parameters={"timeout_s": 30})]
    await settled()
    held.go.set()
    await asyncio.gather(*tasks)
    assert len(scripted.calls) == 1


async def test_when_the_first_leaves_the_call_goes_on_and_the_next_pays() -> None:
    held = Held()
    scripted = Scripted(held, max_batch=8)
    kit = Kit(row("a", scripted))
    tasks = [embed(kit) for _ in range(3)]
    await held.begun.wait()
    await settled()
    tasks[0].cancel()
    await settled()
    held.go.set()
    gone, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(second, Answer)
    assert isinstance(third, Answer)
    assert (second.cached, third.cached) == (False, True)
    assert len(scripted.calls) == 1
    assert not held.cancelled
    left, *others = sorted(kit.ledger.records, key=lambda each: each.status)
    assert (left.status, left.cost_microusd) == ("client_disconnected", 0)
    assert sorted(each.cost_microusd or 0 for each in others) == [0, 2]


async def test_when_all_leave_the_call_is_cancelled_and_the_last_one_bears_what_it_may_cost() -> None:
    held = Held()
    kit = Kit(row("a", Scripted(held, max_batch=8)))
    tasks = [embed(kit) for _ in range(2)]
    await held.begun.wait()
    await settled()
    for task in tasks:
        task.cancel()
        await settled()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert held.cancelled
    assert [each.cost_microusd for each in kit.ledger.records] == [0, None]
    assert [len(each.attempts) for each in kit.ledger.records] == [0, 1]


async def test_a_failed_call_is_made_again_by_those_who_joined_it() -> None:
    held = Held(lambda _: ProviderBadAnswer("broken"))
    scripted = Scripted(held, vectors_of, max_batch=8)
    kit = Kit(row("a", scripted))
    tasks = [embed(kit) for _ in range(3)]
    await held.begun.wait()
    await settled()
    held.go.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, ProviderBadAnswer)
    assert all(isinstance(other, Answer) and not other.cached for other in others)
    assert len(scripted.calls) == 3
    assert sum(record.cost_microusd or 0 for record in kit.ledger.records) == 4


async def test_a_failure_that_each_would_have_had_is_everybodys() -> None:
    held = Held(lambda _: ProviderAuth("no"))
    scripted = Scripted(held, vectors_of, max_batch=8)
    kit = Kit(row("a", scripted))
    tasks = [embed(kit) for _ in range(3)]
    await held.begun.wait()
    await settled()
    held.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, ProviderAuth) for each in found)
    assert len(scripted.calls) == 1


async def test_each_keeps_its_own_deadline() -> None:
    held = Held()
    scripted = Scripted(held, vectors_of, max_batch=8)
    kit = Kit(row("a", scripted))
    patient = embed(kit, parameters={"timeout_s": 60})
    await held.begun.wait()
    hasty = embed(kit, parameters={"timeout_s": 0.05})
    with pytest.raises(ProviderTimeout):
        await hasty
    assert not held.cancelled
    held.go.set()
    assert not (await patient).cached
    assert len(scripted.calls) == 1


async def test_the_last_to_wait_is_told_that_its_own_time_is_up() -> None:
    held = Held()
    kit = Kit(row("a", Scripted(held, vectors_of, max_batch=8)))
    leader = embed(kit, parameters={"timeout_s": 60})
    await held.begun.wait()
    hasty = embed(kit, parameters={"timeout_s": 0.2})
    await settled()
    leader.cancel()
    with pytest.raises(ProviderTimeout):
        await hasty
    assert held.cancelled
    await asyncio.gather(leader, return_exceptions=True)


async def test_a_hasty_leader_does_not_take_the_patient_along() -> None:
    held = Held()
    scripted = Scripted(held, vectors_of, max_batch=8)
    kit = Kit(row("a", scripted))
    hasty = embed(kit, parameters={"timeout_s": 0.05})
    await held.begun.wait()
    patient = embed(kit, parameters={"timeout_s": 60})
    with pytest.raises(GatewayError):
        await hasty
    assert not (await patient).cached
    assert len(scripted.calls) == 2


async def test_chats_are_never_shared() -> None:
    kit = Kit(row("a", chat := Scripted(Held(lambda _: vectors_of), max_batch=1)))
    tasks = [asyncio.create_task(kit.infer()) for _ in range(2)]
    await settled()
    assert len(chat.calls) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
