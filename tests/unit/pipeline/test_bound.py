"""The most that a call can use: never less than what it then uses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.errors import Forbidden
from inferway.pipeline.bound import ANSWER_TOKENS, Reserver, most_of, text_bound
from inferway.pipeline.journey import Journey
from inferway.pipeline.plan import Route
from inferway.providers.base import Target
from inferway.types import (
    Call,
    ChatCall,
    EmbeddingCall,
    Media,
    MediaKind,
    MediaPart,
    Message,
    Parameters,
    TextPart,
    Tool,
    TranscriptionCall,
    Usage,
)
from inferway.usage.prices import OwnPrice, Prices
from tests.unit.pipeline.kit import Scripted, row, said


class Till:
    """A ticket that writes down what is asked of it."""

    def __init__(self, *, money: bool = False) -> None:
        self.counts_use, self.counts_money = True, money
        self.is_released = False
        self.asked: list[tuple[int, int, str]] = []

    def standing(self) -> None:
        return None

    async def reserve(self, *, tokens: int, microusd: int, record_id: str) -> None:
        self.asked.append((tokens, microusd, record_id))

    async def settle(self, *, tokens: int, microusd: int | None) -> None: ...

    async def release(self) -> None: ...


def _route(name: str = "a", **facts: Any) -> Route:
    scripted = Scripted(said("x"))
    target = Target(provider=name, model="m", facts=facts)
    return Route(provider=row(name, scripted), capability=scripted, target=target)


def _chat(text: str = "hi", **parameters: Any) -> ChatCall:
    message = Message(role="user", content=(TextPart(text=text),))
    return ChatCall(messages=(message,), parameters=Parameters(**parameters))


def _with(kind: MediaKind, **content: Any) -> ChatCall:
    part = MediaPart(media=Media(kind=kind, **content))
    return ChatCall(messages=(Message(role="user", content=(part,)),), parameters=Parameters(max_tokens=1))


def _tokens(call: Call, **facts: Any) -> int:
    return most_of([call], _route(**facts), None).tokens


@given(st.text())
def test_a_text_has_no_more_tokens_than_its_bound(text: str) -> None:
    assert text_bound(text) >= len(text.encode("utf-8", "replace")) >= len(text)


def test_a_text_that_tokenizers_make_longer_is_counted_as_long_as_they_make_it() -> None:
    assert text_bound("\ufdfa") == 33
    assert text_bound("plain") == 5


async def _reserved(
    call: Call, *routes: Route, answer_tokens: int | None = None
) -> tuple[Call, Journey, Till]:
    till, journey = Till(), Journey()
    (made,) = await Reserver(Prices(), answer_tokens).reserve(till, (call,), routes, journey, "r")
    return made, journey, till


async def test_a_call_that_says_how_long_its_answer_may_be_is_left_as_it_is() -> None:
    call = _chat(max_tokens=7)
    made, journey, till = await _reserved(call, _route(max_tokens_max=100), answer_tokens=50)
    assert made is call
    assert not journey.adaptations
    assert till.asked[0][0] == 64 + 16 + 2 + 1 + 7


async def test_the_model_s_own_maximum_is_reserved_and_need_not_be_sent() -> None:
    call = _chat()
    made, journey, till = await _reserved(call, _route(max_tokens_max=100))
    assert made is call
    assert not journey.adaptations
    assert till.asked[0][0] == 83 + 100


async def test_a_configured_cap_is_reserved_sent_and_told() -> None:
    made, journey, till = await _reserved(_chat(), _route(max_tokens_max=100), answer_tokens=40)
    assert made.parameters.max_tokens == 40
    assert till.asked[0][0] == 83 + 40
    (told,) = journey.adaptations
    assert (told.field, told.action, told.lossy) == ("parameters.max_tokens", "translated", False)
    assert "40 was sent" in told.reason


async def test_a_configured_cap_above_the_model_s_maximum_changes_nothing() -> None:
    made, _, till = await _reserved(_chat(), _route(max_tokens_max=100), answer_tokens=400)
    assert made.parameters.max_tokens is None
    assert till.asked[0][0] == 83 + 100


async def test_a_model_of_which_nothing_is_known_gets_a_cap() -> None:
    made, _, till = await _reserved(_chat(), _route())
    assert made.parameters.max_tokens == ANSWER_TOKENS
    assert till.asked[0][0] == 83 + ANSWER_TOKENS


async def test_the_dearest_route_is_what_is_reserved() -> None:
    prices = Prices({"a/m": OwnPrice(input=1, output=1), "b/m": OwnPrice(input=1, output=100)})
    till = Till(money=True)
    routes = (_route("a"), _route("b"))
    await Reserver(prices, None).reserve(till, (_chat(max_tokens=10),), routes, Journey(), "r")
    assert till.asked == [(83 + 10, 83 + 1000, "r")]


async def test_every_prompt_is_reserved_for() -> None:
    till = Till(money=True)
    calls = (_chat(max_tokens=10), _chat(max_tokens=20))
    prices = Prices({"a/m": OwnPrice(input=1, output=1)})
    await Reserver(prices, None).reserve(till, calls, (_route(),), Journey(), "r")
    assert till.asked == [(196, 196, "r")]


async def test_a_model_without_a_price_cannot_be_called_under_a_cap() -> None:
    till = Till(money=True)
    reserver = Reserver(Prices({"a/m": OwnPrice(input=1, output=1)}), None)
    with pytest.raises(Forbidden) as caught:
        await reserver.reserve(till, (_chat(),), (_route("a"), _route("b")), Journey(), "r")
    assert caught.value.code == "unpriced_model"
    assert '[prices."b/m"]' in caught.value.message
    assert not till.asked


def test_what_a_provider_may_count_dearer_is_priced_so() -> None:
    prices = Prices({"a/m": OwnPrice(input=1, output=0, cache_write=5)})
    assert most_of([_chat(max_tokens=1)], _route(), prices).microusd == 83 * 5


def test_native_fields_cannot_ask_for_more_than_is_reserved() -> None:
    plain = _tokens(_chat(max_tokens=10))
    assert _tokens(_chat(max_tokens=10, extra={"max_completion_tokens": 500})) >= plain + 490
    assert _tokens(_chat(max_tokens=10, extra={"generationConfig": {"maxOutputTokens": 500}})) >= plain + 490
    for eight in (8, 8.0, 7.5, "8"):
        assert _tokens(_chat(max_tokens=10, extra={"n": eight})) >= plain + 70, eight
    for nothing in (True, "many", [8], -8):
        assert _tokens(_chat(max_tokens=10, extra={"n": nothing})) < plain + 20, nothing
    for taken_back in ({"max_completion_tokens": None}, {"generationConfig": None}):
        assert _tokens(_chat(max_tokens=10, extra=taken_back)) >= plain + ANSWER_TOKENS - 10
        assert _tokens(_chat(max_tokens=10, extra=taken_back), max_tokens_max=99) >= plain + 89


@pytest.mark.parametrize(
    "given",
    [
        {"max_tokens": 2**63 - 1},
        {"extra": {"max_completion_tokens": 10**400}},
        {"max_tokens": 10, "extra": {"generationConfig": {"candidateCount": 1e308}}},
    ],
)
async def test_what_is_reserved_can_be_counted_however_much_is_asked_for(given: dict[str, Any]) -> None:
    till = Till(money=True)
    prices = Prices({"a/m": OwnPrice(input=1, output=100)})
    await Reserver(prices, None).reserve(till, (_chat(**given),) * 256, (_route(),), Journey(), "r")
    assert till.asked == [(10**15, 10**15, "r")]


def test_an_answer_that_may_be_repaired_is_reserved_twice() -> None:
    schema = {"type": "object"}
    once = _tokens(_chat(max_tokens=1_000, schema=schema, repair=False))
    assert _tokens(_chat(max_tokens=1_000, schema=schema)) >= 2 * once


def test_tools_are_part_of_the_prompt() -> None:
    tool = Tool(name="t", description="d" * 1_000)
    assert _tokens(_chat(max_tokens=1, tools=(tool,))) >= 2_000


def test_media_are_bound_by_what_providers_count_at_most() -> None:
    image = _with(MediaKind.IMAGE, data=b"x", mime="image/png")
    assert _tokens(image) > 50_000
    assert 5_000 < _tokens(image, image_tokens_max=5_000) < 6_000
    assert _tokens(_with(MediaKind.DOCUMENT, data=b"x", mime="application/pdf")) > 1_000_000
    assert _tokens(_with(MediaKind.AUDIO, data=bytes(50_000), mime="audio/mpeg")) > 100 * 100


def test_a_recording_is_bound_by_its_bytes_or_by_what_its_header_says() -> None:
    call = TranscriptionCall(audio=Media(kind=MediaKind.AUDIO, data=bytes(60_000), mime="audio/mpeg"))
    prices = Prices({"a/m": OwnPrice(audio_minute=60)})
    assert most_of([call], _route(), prices).microusd == 120_000_000


def test_embeddings_are_bound_by_their_texts() -> None:
    assert _tokens(EmbeddingCall(items=("abc", "de"))) == 64 + 2 * 16 + 5
    by_characters = _CharacterPrice()
    assert most_of([EmbeddingCall(items=("abc", "de"))], _route(), by_characters).microusd == 5


class _CharacterPrice:
    """Prices characters and nothing else, as one provider does."""

    def price(self, provider: str, model: str, usage: Usage) -> Any:
        del provider, model
        return None if usage.input else type("P", (), {"microusd": usage.characters})()

    def note_unpriced(self, provider: str, model: str) -> None:
        del provider, model
