"""Attempts: circuits, retry budgets, fallbacks past what is out of order, and second calls beside slow ones."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec.structs import replace

from inferway.errors import (
    CircuitOpen,
    GatewayError,
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTls,
    ProviderUnreachable,
)
from inferway.pipeline.attempts import RetryPolicy, wait_out
from inferway.providers.base import Context, Credential, Prepared, Provider
from inferway.types import ChatEvent, ChatResult, TextDelta, Usage
from tests.unit.pipeline.kit import Kit, Scripted, row, said, texts, vectors_of

TWO = RetryPolicy(attempts=2)
HOST = "https://provider.example"


def far(name: str, scripted: Scripted, **fields: Any) -> Provider:
    """A provider somewhere else: only those have circuits."""
    return row(name, scripted, address=HOST, **fields)


async def fails(kit: Kit, **body: Any) -> GatewayError:
    with pytest.raises(GatewayError) as failure:
        await kit.infer(**body)
    return failure.value


@pytest.mark.parametrize(
    "error",
    [
        ProviderFailed("500"),
        ProviderUnreachable("refused"),
        ProviderUnreachable("lost", retryable=False),
        ProviderTls("expired"),
    ],
)
async def test_five_outages_in_a_row_open_the_circuit_and_calls_fail_fast(error: GatewayError) -> None:
    scripted = Scripted(error)
    kit = Kit(far("a", scripted), policy=RetryPolicy(attempts=1))
    for _ in range(5):
        assert await fails(kit) is error
    for _ in range(20):
        refused = await fails(kit)
        assert isinstance(refused, CircuitOpen)
        assert (refused.status, refused.code, refused.retry_after_s) == (503, "circuit_open", 30)
    assert len(scripted.calls) == 5
    assert len(kit.ledger.records) == 25
    assert kit.ledger.records[-1].error_code == "circuit_open"
    assert kit.ledger.records[-1].attempts == ()


@pytest.mark.parametrize(
    "error",
    [
        ProviderRefused("bad"),
        ProviderAuth("key"),
        ProviderQuota("money"),
        ProviderRateLimited("slow down", retryable=False),
        ProviderBadAnswer("no json"),
        ProviderTimeout("a hasty caller"),
    ],
)
async def test_what_is_no_outage_never_opens_it(error: GatewayError) -> None:
    scripted = Scripted(error)
    kit = Kit(far("a", scripted))
    for _ in range(12):
        assert await fails(kit) is error
    assert len(scripted.calls) == 12


async def test_refusals_between_failures_are_signs_of_life_and_bad_answers_are_not() -> None:
    scripted = Scripted(*[ProviderFailed("500"), ProviderRefused("bad")] * 9, said("hello"))
    kit = Kit(far("a", scripted), policy=RetryPolicy(attempts=1))
    for _ in range(18):
        await fails(kit)
    assert texts(await kit.infer()) == ["hello"]
    scripted.script[:] = [*[ProviderFailed("500"), ProviderBadAnswer("html")] * 5, said("never")]
    for _ in range(9):
        await fails(kit)
    assert isinstance(await fails(kit), CircuitOpen)


async def test_a_timeout_is_an_outage_when_the_provider_was_waited_for_long_enough() -> None:
    scripted = Scripted(ProviderTimeout("silent"))
    kit = Kit(far("a", scripted), policy=RetryPolicy(outage_wait_s=0.0))
    for _ in range(5):
        await fails(kit)
    assert isinstance(await fails(kit), CircuitOpen)


class SlowReader:
    """A caller of a streamed answer who takes the first word and reads no further."""

    async def delta(self, *_: Any) -> None:
        await asyncio.sleep(60)


class Reader(SlowReader):
    """A caller who reads as it comes."""

    async def delta(self, *_: Any) -> None:
        pass


class Endless(Scripted):
    """Streams a word every `pause_s` seconds, and never comes to an end."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(said("well"))
        self.pause_s = pause_s

    async def stream(
        self, prepared: Prepared, context: Context
    ) -> AsyncGenerator[ChatEvent | ChatResult, None]:
        del prepared, context
        while True:
            yield TextDelta(text="word ")
            await asyncio.sleep(self.pause_s)


@pytest.mark.parametrize(
    ("reader", "pause_s"), [(SlowReader(), 0.0), (Reader(), 0.01)], ids=["slow reader", "long answer"]
)
async def test_a_stream_that_comes_is_no_outage_whoever_makes_it_miss_the_deadline(
    reader: SlowReader, pause_s: float
) -> None:
    kit = Kit(far("a", Endless(pause_s)), policy=RetryPolicy(outage_wait_s=0.1))
    for _ in range(5):
        error = await fails(kit, sink=reader, stream=True, parameters={"timeout_s": 0.2})
        assert isinstance(error, ProviderTimeout)
    assert texts(await kit.infer()) == ["well"]


async def test_a_stream_that_stalls_is_an_outage() -> None:
    kit = Kit(far("a", Endless(60.0)), policy=RetryPolicy(outage_wait_s=0.1))
    for _ in range(5):
        error = await fails(kit, sink=Reader(), stream=True, parameters={"timeout_s": 0.2})
        assert isinstance(error, ProviderTimeout)
    assert isinstance(await fails(kit), CircuitOpen)


async def test_one_probe_recovers_it() -> None:
    scripted = Scripted(*[ProviderFailed("500")] * 5, said("hello"))
    kit = Kit(far("a", scripted), policy=RetryPolicy(attempts=1))
    for _ in range(5):
        await fails(kit)
    assert isinstance(await fails(kit), CircuitOpen)
    kit.now_s += 30
    assert texts(await kit.infer()) == ["hello"]
    assert texts(await kit.infer()) == ["hello"]
    assert len(scripted.calls) == 7


async def test_a_probe_whose_caller_leaves_or_is_hasty_lets_the_next_call_look() -> None:
    asked = asyncio.Event()

    async def hang(_: Any) -> None:
        asked.set()
        await asyncio.sleep(60)

    scripted = Scripted(*[ProviderFailed("500")] * 5, hang, ProviderTimeout("hasty"), said("hello"))
    kit = Kit(far("a", scripted), policy=RetryPolicy(attempts=1))
    for _ in range(5):
        await fails(kit)
    kit.now_s += 30
    left = asyncio.create_task(kit.infer())
    await asked.wait()
    assert isinstance(await fails(kit), CircuitOpen)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert isinstance(await fails(kit), ProviderTimeout)
    assert texts(await kit.infer()) == ["hello"]


async def test_an_open_circuit_is_no_reason_to_wait_for_what_comes_next_in_the_list() -> None:
    broken, well = Scripted(ProviderFailed("500")), Scripted(said("hello"))
    kit = Kit(far("a", broken), far("b", well))
    body = {"fallbacks": [{"provider": "b", "model": "m"}]}
    for _ in range(10):
        assert texts(await kit.infer(**body)) == ["hello"]
    assert len(broken.calls) == 5
    assert len(well.calls) == 10
    # The first two calls tried twice; the third opened the circuit, and no other waited for it.
    assert len(kit.slept) == 2


async def test_the_attempts_of_a_call_end_with_its_own_error_when_the_circuit_opens_under_it() -> None:
    scripted = Scripted(ProviderFailed("500"))
    kit = Kit(far("a", scripted))
    await fails(kit)
    assert isinstance(await fails(kit), ProviderFailed)
    assert len(scripted.calls) == 5


async def test_credentials_have_circuits_of_their_own() -> None:
    mine, theirs = Scripted(ProviderFailed("500")), Scripted(said("hello"))
    kit = Kit(
        far("a", mine, credential=Credential(secret="one")),
        far("b", theirs, credential=Credential(secret="two")),
    )
    for _ in range(3):
        await fails(kit)
    assert texts(await kit.infer(provider="b")) == ["hello"]
    assert {each.provider: each.state for each in kit.lines.states()} == {"a": "open", "b": "closed"}


async def test_what_runs_in_this_process_has_no_circuit() -> None:
    scripted = Scripted(ProviderFailed("500"))
    kit = Kit(row("a", scripted), policy=RetryPolicy(attempts=1))
    for _ in range(8):
        assert isinstance(await fails(kit), ProviderFailed)


async def test_a_crowd_in_an_outage_is_repeated_by_a_fifth_at_most() -> None:
    scripted = Scripted(ProviderFailed("500"))
    kit = Kit(row("a", scripted))
    failures = await asyncio.gather(*(kit.infer() for _ in range(200)), return_exceptions=True)
    assert all(isinstance(each, ProviderFailed) for each in failures)
    assert 200 < len(scripted.calls) <= 200 * 1.2 + 3
    assert kit.lines.retrying() == {"a": 0}
    assert kit.lines.active() == {"a": 0}


async def test_a_call_alone_may_be_repeated() -> None:
    scripted = Scripted(ProviderFailed("500"))
    kit = Kit(row("a", scripted))
    await fails(kit)
    assert len(scripted.calls) == 3


async def test_all_routes_together_get_three_attempts() -> None:
    first, second = Scripted(ProviderFailed("500")), Scripted(ProviderFailed("500"))
    kit = Kit(row("a", first), row("b", second))
    await fails(kit, fallbacks=[{"provider": "b", "model": "m"}])
    assert (len(first.calls), len(second.calls)) == (2, 1)
    await fails(kit, inputs={"text": "1"}, fallbacks=[{"provider": "b", "model": "m"}])
    assert (len(first.calls), len(second.calls)) == (4, 2)


async def test_each_route_gets_an_attempt_however_many_there_are() -> None:
    rows = [Scripted(ProviderFailed("500")) for _ in range(4)]
    well = Scripted(vectors_of)
    kit = Kit(*(row(name, scripted) for name, scripted in zip("abcd", rows, strict=True)), row("e", well))
    fallbacks = [{"provider": name, "model": "m"} for name in "bcde"]
    await kit.infer(inputs={"text": "1"}, fallbacks=fallbacks)
    assert [len(each.calls) for each in rows] == [1, 1, 1, 1]


def slow_then_quick() -> Scripted:
    async def slow(_: Any) -> Any:
        await asyncio.sleep(30)

    return Scripted(slow, said("hello"))


async def test_a_second_call_goes_out_beside_a_slow_one_and_the_loser_is_cancelled_and_shown() -> None:
    scripted = slow_then_quick()
    kit = Kit(row("a", scripted))
    answer = await kit.infer(parameters={"hedge_after_ms": 5})
    assert texts(answer) == ["hello"]
    assert len(scripted.calls) == 2
    assert scripted.running == 0
    record = kit.ledger.records[0]
    assert sorted(each.outcome for each in record.attempts) == ["hedge_lost", "ok"]
    assert answer.tokens_used == {"prompt": 2, "completion": 2, "total": 4}
    assert record.usage.source == "estimated"
    assert record.cost_microusd == 4
    assert "second call" in answer.warnings[0]
    assert kit.lines.retrying() == {"a": 0}


async def test_hedging_is_off_unless_it_is_asked_for() -> None:
    async def slow(_: Any) -> Any:
        await asyncio.sleep(0.05)
        return said("hello")

    scripted = Scripted(slow)
    kit = Kit(row("a", scripted))
    await kit.infer()
    await kit.infer(parameters={"hedge_after_ms": 0})
    assert len(scripted.calls) == 2


async def test_one_call_in_twenty_gets_a_second_one() -> None:
    async def slow(_: Any) -> Any:
        await asyncio.sleep(0.005)
        return said("hello")

    scripted = Scripted(slow)
    kit = Kit(row("a", scripted), policy=RetryPolicy(hedge_after_ms=0.5))
    for _ in range(100):
        await kit.infer()
    assert 100 < len(scripted.calls) <= 105


async def test_no_second_call_goes_out_without_budget_or_with_failures_or_for_a_stream() -> None:
    scripted = slow_then_quick()
    kit = Kit(far("a", scripted))
    line = kit.lines.get("a", HOST, None, is_callers=False)
    line.budget.retrying = 3
    assert await _attempts(kit, scripted) == 1
    line.budget.retrying = 0
    assert line.circuit is not None
    line.circuit.failed()
    assert await _attempts(kit, scripted) == 1
    line.circuit.succeeded()
    assert await _attempts(kit, scripted) == 2


async def _attempts(kit: Kit, scripted: Scripted) -> int:
    """How many attempts a slow call had within its deadline."""
    scripted.calls.clear()
    scripted.script[:] = slow_then_quick().script
    with contextlib.suppress(ProviderTimeout):
        await kit.infer(parameters={"hedge_after_ms": 5, "timeout_s": 0.2})
    return len(scripted.calls)


async def test_both_failing_is_the_first_ones_error_and_a_failure_of_one_is_not_the_calls() -> None:
    async def slow_failure(_: Any) -> Any:
        await asyncio.sleep(0.05)
        return ProviderFailed("slow")

    kit = Kit(row("a", Scripted(slow_failure, ProviderBadAnswer("quick"), said("never"))), policy=TWO)
    assert (await fails(kit, parameters={"hedge_after_ms": 5})).message == "slow"
    kit = Kit(row("a", Scripted(slow_failure, said("hello"))), policy=TWO)
    assert texts(await kit.infer(parameters={"hedge_after_ms": 5})) == ["hello"]


async def test_what_a_loser_used_is_guessed_by_its_own_winner_whatever_else_the_request_asks() -> None:
    used = iter(range(10))

    async def answer(call: Any) -> Any:
        if call.messages[-1].text() == "another":
            await asyncio.sleep(0.03)
            return replace(said("b"), usage=Usage(input=1000, output=1000, source="provider"))
        if next(used):
            await asyncio.sleep(0.01)
            return said("a")
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)  # the other prompt is answered before this one is gone

    kit = Kit(row("a", Scripted(answer)))
    prompts = {"prompts": ["slow", "another"]}
    assert texts(await kit.infer(inputs=prompts, parameters={"hedge_after_ms": 5})) == ["a", "b"]
    (record,) = kit.ledger.records
    told = sorted((each.outcome, each.usage.input if each.usage else None) for each in record.attempts)
    assert told == [("hedge_lost", 1), ("ok", 1), ("ok", 1000)]
    assert record.usage.input == 1002


async def test_a_wait_is_never_shorter_than_was_asked_also_on_a_busy_loop() -> None:
    async def chatter() -> None:
        while True:  # noqa: ASYNC110 - noise is what it is for
            await asyncio.sleep(0)

    noise = asyncio.create_task(chatter())
    for _ in range(50):
        began = time.monotonic()
        await wait_out(0.005)
        assert time.monotonic() - began >= 0.005
    noise.cancel()
