"""What leaves for each provider when tokens are limited and nobody said how long an answer may be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.kit import Gateway, Reply, Seen, Upstream, running

_REFUSAL = b'{"error": {"message": "no", "type": "invalid_request_error", "code": 400, "status": "INVALID_ARGUMENT"}}'
_PLACES = [
    ("openai", "gpt-5.4-mini", ("max_completion_tokens",)),
    ("openai", "gpt-4o", ("max_completion_tokens",)),
    ("anthropic", "claude-sonnet-4-5", ("max_tokens",)),
    ("google", "gemini-2.5-flash", ("generationConfig", "maxOutputTokens")),
    ("house", "llama", ("max_tokens",)),
]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """It refuses everything: only what it was asked matters here."""
    upstream = Upstream()
    upstream.answer = lambda _: Reply(_REFUSAL, status=400)
    yield upstream
    upstream.close()


def _gateway(tmp_path: Path, upstream: Upstream, **limits: str) -> Any:
    chosen = {f"INFERWAY_LIMITS__{name.upper()}": value for name, value in limits.items()}
    return running(
        tmp_path,
        OPENAI_API_KEY="sk-test",
        OPENAI_BASE_URL=f"{upstream.url}/v1",
        ANTHROPIC_API_KEY="test",
        ANTHROPIC_BASE_URL=upstream.url,
        GEMINI_API_KEY="test",
        GOOGLE_GEMINI_BASE_URL=upstream.url,
        INFERWAY_PROVIDERS__HOUSE__BASE_URL=f"{upstream.url}/v1",
        INFERWAY_PROVIDERS__HOUSE__API_KEY="test",
        **chosen,
    )


def _sent(gateway: Gateway, upstream: Upstream, provider: str, model: str, **parameters: Any) -> Seen:
    assert gateway.infer(provider=provider, model=model, parameters=parameters).status == 400
    return upstream.seen[-1]


def _found(seen: Seen, place: tuple[str, ...]) -> Any:
    value = json.loads(seen.body)
    for name in place:
        value = value.get(name, {})
    return value or None


def test_a_configured_bound_leaves_for_every_provider(tmp_path: Path, upstream: Upstream) -> None:
    limits = {"tokens_per_minute": "100000000", "max_output_tokens": "77"}
    with _gateway(tmp_path, upstream, **limits) as gateway:
        for provider, model, place in _PLACES:
            assert _found(_sent(gateway, upstream, provider, model), place) == 77, provider
            assert _found(_sent(gateway, upstream, provider, model, max_tokens=5), place) == 5, provider


def test_a_model_of_which_nothing_is_known_is_bound_too(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream, tokens_per_minute="100000000") as gateway:
        seen = _sent(gateway, upstream, "house", "unheard-of")
        assert _found(seen, ("max_tokens",)) == 8_192
        seen = _sent(gateway, upstream, "openai", "gpt-unheard-of")
        assert _found(seen, ("max_completion_tokens",)) == 8_192
        known = _sent(gateway, upstream, "google", "gemini-2.5-flash")
        assert _found(known, ("generationConfig", "maxOutputTokens")) is None, (
            "65,536 is reserved: it cannot say more"
        )


def test_where_nothing_is_limited_nothing_is_added(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream, max_output_tokens="77") as gateway:
        for provider, model, place in _PLACES:
            if provider != "anthropic":
                assert _found(_sent(gateway, upstream, provider, model), place) is None, provider


def test_tokens_are_reserved_for_the_longest_answer_there_can_be(tmp_path: Path, upstream: Upstream) -> None:
    with _gateway(tmp_path, upstream, tokens_per_minute="150000") as gateway:
        # 128,000 are reserved and come back with each refusal.
        assert [gateway.infer(provider="openai", model="gpt-5").status for _ in range(3)] == [400] * 3
        refused = gateway.infer(provider="openai", model="gpt-5", inputs={"prompts": ["a", "b"]})
        assert refused.status == 400, "more than the bucket holds is asked of a full one"
