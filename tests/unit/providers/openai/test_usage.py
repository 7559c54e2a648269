"""Usage objects, right and wrong, as disjoint meters."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from inferway.providers.openai.usage import chat_usage, embedding_usage, transcription_usage
from inferway.types import Usage

NAMES = (
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
    "cached_tokens", "audio_tokens", "reasoning_tokens", "cache_write_tokens", "prompt_cache_hit_tokens", "type",
    "seconds", "input_tokens", "output_tokens", "input_token_details",
)  # fmt: skip


def raw(body: object) -> Raw:
    return Raw(json.dumps(body).encode())


def chat(**fields: Any) -> Usage:
    return chat_usage(raw(fields))


def meters(usage: Usage) -> tuple[int, ...]:
    return usage.input, usage.cached_read, usage.cache_write, usage.audio_input, usage.output, usage.reasoning


def test_the_parts_add_up_to_what_the_provider_counted() -> None:
    usage = chat(
        prompt_tokens=100, completion_tokens=50, total_tokens=150,
        prompt_tokens_details={"cached_tokens": 30, "cache_write_tokens": 10, "audio_tokens": 20},
        completion_tokens_details={"reasoning_tokens": 15},
    )  # fmt: skip
    assert meters(usage) == (40, 30, 10, 20, 35, 15)
    used = usage.tokens_used()
    assert used is not None
    assert (used["prompt"], used["completion"], used["total"]) == (100, 50, 150)
    assert usage.source == "provider"
    assert usage.raw is not None


def test_cache_hits_of_deepseek_and_reasoning_beside_the_completion() -> None:
    assert chat(prompt_tokens=10, completion_tokens=1, prompt_cache_hit_tokens=4).cached_read == 4
    beside = chat(
        prompt_tokens=10,
        completion_tokens=5,
        total_tokens=22,
        completion_tokens_details={"reasoning_tokens": 7},
    )
    assert (beside.output, beside.reasoning, beside.source) == (5, 7, "provider")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt_tokens": -1, "completion_tokens": 5}, (0, 0, 0, 0, 5, 0)),
        ({"prompt_tokens": "12", "completion_tokens": 5, "total_tokens": 17}, (12, 0, 0, 0, 5, 0)),
        ({"prompt_tokens": 3, "total_tokens": 10}, (3, 0, 0, 0, 7, 0)),
        ({"prompt_tokens": 10**12, "completion_tokens": 5}, (0, 0, 0, 0, 5, 0)),
        ({"prompt_tokens": 3, "completion_tokens": True}, (3, 0, 0, 0, 0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 1.5}, (3, 0, 0, 0, 0, 0)),
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}},
            (0, 3, 0, 0, 1, 0),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": [1]}, (3, 0, 0, 0, 1, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 99}, (3, 0, 0, 0, 1, 0)),
    ],
)
def test_what_cannot_be_right_is_clamped_and_marked(
    fields: dict[str, Any], expected: tuple[int, ...]
) -> None:
    usage = chat(**fields)
    assert meters(usage) == expected
    assert usage.source == "estimated"


@pytest.mark.parametrize("body", [None, {}, [], "x", 5, {"total_tokens": 5}, {"prompt_tokens": None}])
def test_no_counts_at_all_are_nobody_counted(body: object) -> None:
    assert chat_usage(raw(body)).tokens_used() is None
    assert chat_usage(Raw()) == Usage()
    assert chat_usage(Raw(b'"' + b"x" * 20_000 + b'"')).raw is None


@pytest.mark.parametrize(
    "body", [b'{"prompt_tokens":1e999}', b"[" * 10_000, b'{"prompt_tokens":' + b"9" * 5000 + b"}"]
)
def test_a_usage_that_cannot_be_decoded_is_none(body: bytes) -> None:
    assert chat_usage(Raw(body)).source == "none"
    assert embedding_usage(Raw(body)).source == "none"
    assert transcription_usage(Raw(body), 2.0).audio_ms == 2000


def test_zero_is_a_count_of_a_half_and_of_the_whole_it_means_that_nobody_counted() -> None:
    told = {"prompt": 3, "completion": 0, "total": 3}
    assert chat(prompt_tokens=3, completion_tokens=0, total_tokens=3).tokens_used() == told
    assert chat(prompt_tokens=0, completion_tokens=0, total_tokens=0).tokens_used() is None
    assert chat(prompt_tokens=0, completion_tokens=0).tokens_used() is None


def test_embeddings_count_input_only() -> None:
    assert embedding_usage(raw({"prompt_tokens": 4, "total_tokens": 4})).input == 4
    assert embedding_usage(raw({"total_tokens": 4})).source == "provider"
    assert embedding_usage(raw({"prompt_tokens": 4, "total_tokens": 9})).source == "estimated"
    assert embedding_usage(raw({})).source == "none"


@pytest.mark.parametrize("seconds", [-1, "4", None, True, 10**9, [], 1e308])
def test_seconds_that_cannot_be_right_give_way_to_the_duration(seconds: object) -> None:
    usage = transcription_usage(raw({"type": "duration", "seconds": seconds}), 2.5)
    assert (usage.audio_ms, usage.source) == (2500, "estimated")
    assert transcription_usage(raw({"type": "duration", "seconds": seconds}), None).audio_ms == 0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "duration", "7"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_usage_object_breaks_the_meters(body: dict[str, Any]) -> None:
    for usage in (chat_usage(raw(body)), embedding_usage(raw(body)), transcription_usage(raw(body), None)):
        assert all(type(count) is int and 0 <= count <= 10**9 for count in (*meters(usage), usage.audio_ms))
        used = usage.tokens_used()
        assert used is None or used["prompt"] + used["completion"] == used["total"]
