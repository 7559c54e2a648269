"""Google's counts as meters that do not overlap."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.providers.google.usage import read_usage
from inferway.types import Usage


def _read(fields: object) -> Usage:
    return read_usage(msgspec.Raw(json.dumps(fields).encode()))


def test_the_meters_are_disjoint_and_add_up() -> None:
    fields = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 300,
        "candidatesTokenCount": 50,
        "thoughtsTokenCount": 70,
        "toolUsePromptTokenCount": 9,
        "totalTokenCount": 1129,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 600},
            {"modality": "AUDIO", "tokenCount": 400},
        ],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 100}],
    }
    usage = _read(fields)
    assert (usage.input, usage.cached_read, usage.audio_input) == (409, 300, 300)
    assert (usage.output, usage.reasoning) == (50, 70)
    assert usage.source == "provider"
    assert usage.raw is not None
    assert json.loads(usage.raw) == fields
    used = usage.tokens_used()
    assert used is not None
    assert used["total"] == fields["totalTokenCount"]


def test_modalities_may_be_numbers() -> None:
    assert (
        _read({"promptTokenCount": 9, "promptTokensDetails": [{"modality": 4, "tokenCount": 5}]}).audio_input
        == 5
    )


def test_an_absent_count_is_zero_and_no_counts_are_none() -> None:
    assert _read({"promptTokenCount": 9}).tokens_used() == {"prompt": 9, "completion": 0, "total": 9}
    assert _read(None) == Usage()
    assert read_usage(msgspec.Raw()) == Usage()


@pytest.mark.parametrize("wrong", [-1, "7", 1e300, True, [], {}, 10**30, 10**11])
def test_a_count_that_cannot_be_right_is_mended_and_marked(wrong: Any) -> None:
    usage = _read({"promptTokenCount": 9, "candidatesTokenCount": wrong})
    assert (usage.input, usage.output, usage.source) == (9, 0, "estimated")


def test_more_cached_than_asked_is_cut() -> None:
    usage = _read({"promptTokenCount": 5, "cachedContentTokenCount": 50})
    assert (usage.input, usage.cached_read) == (0, 5)


@pytest.mark.parametrize(
    "body", [b"7", b'"x"', b"[]", b'{"promptTokenCount": 1e999}', b'{"promptTokenCount": "x"}']
)
def test_counts_of_another_shape_count_nothing(body: bytes) -> None:
    usage = read_usage(msgspec.Raw(body))
    assert usage.tokens_used() is None
    assert usage.raw == body


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["modality", "tokenCount"]), inner)
    ),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    [
        "promptTokenCount",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "toolUsePromptTokenCount",
        "promptTokensDetails",
        "cacheTokensDetails",
    ]
)


@given(st.dictionaries(_NAMES, _JSON))
def test_no_counts_crash_or_go_below_zero(fields: dict[str, Any]) -> None:
    usage = _read(fields)
    meters = (usage.input, usage.cached_read, usage.audio_input, usage.output, usage.reasoning)
    assert {type(meter) for meter in meters} == {int}
    assert min(meters) >= 0
