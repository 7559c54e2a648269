"""What is reserved for a call, and what becomes of it."""

import asyncio
from typing import Any

import msgspec
import pytest

from inferway.errors import GatewayError, ProviderBadAnswer, ProviderFailed, ProviderRefused, ProviderTimeout
from inferway.pipeline.request import read_request
from inferway.providers.base import Timing
from inferway.types import Usage
from tests.unit.pipeline.kit import CALLER, Kit, Scripted, row, said
from tests.unit.pipeline.test_life import Recorder
from tests.unit.pipeline.test_losses import Breaking


class Till:
    """A ticket that writes down what is reserved, settled and released."""

    def __init__(self) -> None:
        self.counts_use = self.counts_money = True
        self.is_released = False
        self.did: list[tuple[object, ...]] = []

    def standing(self) -> None:
        return None

    async def reserve(self, *, tokens: int, microusd: int, record_id: str) -> None:
        assert tokens
        assert record_id
        self.did.append(("reserve", microusd))

    async def settle(self, *, tokens: int, microusd: int | None) -> None:
        self.did.append(("settle", tokens, microusd))

    async def release(self) -> None:
        self.did.append(("release",))


class Ears:
    """A sink that hears the first piece of an answer and no more, while the provider goes on."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    async def delta(self, index: int, target: object, event: object) -> None:
        del index, target, event
        self.heard.set()
        await asyncio.sleep(30)

    async def item(self, index: int, target: object, finish_reason: str | None) -> None: ...

    async def failed(self, index: int, error: dict[str, object]) -> None: ...


async def _infer(kit: Kit, till: Till, sink: Any = None, **body: Any) -> Any:
    fields = {
        "provider": "a",
        "model": "m",
        "inputs": {"prompts": ["hi"]},
        "parameters": {"max_tokens": 10},
    } | body
    request = read_request(msgspec.json.encode(fields))
    return await kit.pipeline.infer(request, CALLER, ticket=till, request_id="r", timing=Timing(), sink=sink)


async def _lost(error: GatewayError) -> Till:
    till = Till()
    with pytest.raises(type(error)):
        await _infer(Kit(row("a", Scripted(error))), till)
    return till


async def test_an_answer_is_settled_at_its_cost() -> None:
    till = Till()
    await _infer(Kit(row("a", Scripted(said("x")))), till)
    assert till.did == [("reserve", 93), ("settle", 2, 2), ("release",)]


async def test_what_the_provider_refused_costs_nothing() -> None:
    assert (await _lost(ProviderRefused("no"))).did[1:] == [("settle", 0, 0), ("release",)]


@pytest.mark.parametrize("error", [ProviderTimeout("late"), ProviderBadAnswer("what")])
async def test_what_may_have_been_billed_stays_reserved(error: GatewayError) -> None:
    assert (await _lost(error)).did[1:] == [("settle", 0, None), ("release",)]


async def test_attempts_that_cost_nothing_add_nothing() -> None:
    till = Till()
    await _infer(Kit(row("a", Scripted(ProviderFailed("1"), said("x")))), till)
    assert till.did == [("reserve", 93), ("settle", 2, 2), ("release",)]


async def test_a_rehearsal_reserves_nothing() -> None:
    till = Till()
    await _infer(Kit(row("a", Scripted(said("x")))), till, dry_run=True)
    assert till.did == [("release",)]


async def test_a_stream_whose_client_left_is_settled_with_what_was_read_of_it() -> None:
    till, ears = Till(), Ears()
    job = asyncio.create_task(_infer(Kit(row("a", Scripted(said("some words")))), till, ears, stream=True))
    await asyncio.wait_for(ears.heard.wait(), 10)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    (settled,) = [each for each in till.did if each[0] == "settle"]
    assert isinstance(settled[2], int)
    assert 0 < settled[2] < 93


@pytest.mark.parametrize("told", [None, Usage(input=900, source="provider")])
async def test_media_of_a_stream_that_broke_off_stay_reserved_unless_the_provider_counted_them(
    told: Usage | None,
) -> None:
    till, breaking = Till(), Breaking(ProviderBadAnswer("cut"))
    breaking.told = told
    with pytest.raises(ProviderBadAnswer):
        await _infer(
            Kit(row("a", breaking)),
            till,
            Recorder(),
            stream=True,
            inputs={"prompts": ["hi"], "image_base64": "iVBORw0KGgo="},
        )
    tokens, microusd = (903, 903) if told else (4, None)
    assert till.did[1:] == [("settle", tokens, microusd), ("release",)]


async def test_a_call_that_was_broken_off_before_anything_came_stays_reserved() -> None:
    till, called = Till(), asyncio.Event()

    async def forever(_: Any) -> Any:
        called.set()
        await asyncio.sleep(30)

    scripted = Scripted(forever)
    job = asyncio.create_task(_infer(Kit(row("a", scripted)), till))
    await asyncio.wait_for(called.wait(), 10)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert till.did[1:] == [("settle", 0, None), ("release",)]
