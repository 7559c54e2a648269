"""What is kept of a call is bounded, holds no media, and opens for the call alone that it belongs to."""

import base64
import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferway.access.envelope import Kek
from inferway.cache.contents import CallHead
from inferway.errors import ProviderFailed
from inferway.pipeline.answer import Answer
from inferway.pipeline.content import (
    bounded,
    content_of,
    open_content,
    seal_content,
    weight_of,
)
from inferway.pipeline.request import InferenceRequest, read_request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(3_000)
PICTURE = base64.b64encode(PNG).decode()
DESCRIBED = {"type": "image", "mime": "image/png", "bytes": len(PNG), "sha256": sha256(PNG).hexdigest()}
HEAD = CallHead(
    record_id="0001",
    organization_id="org_1",
    namespace_id="ns_1",
    request_id="req_1",
    at_us=1,
    operation="chat",
    provider="fake",
    model="fake-1",
    status="ok",
)
KEK = Kek(kek_id="kek_1", secret=b"k" * 32)


def request(**inputs: Any) -> InferenceRequest:
    body = {"provider": "fake", "model": "fake-1", "inputs": inputs}
    return read_request(json.dumps(body | {"parameters": {"temperature": 0, "seed": 7}}).encode())


def answer(data: Any) -> Answer:
    return Answer(
        data=data,
        provider="fake",
        model="fake-1",
        tokens_used=None,
        latency_ms=1.0,
        cached=False,
        request_id="req_1",
        cost_usd=0.0,
    )


def test_inputs_and_parameters_are_kept_as_they_were_given() -> None:
    made = content_of(request(prompts=["first", "second"], system="be brief"), answer({"a": 1}), 10_000)
    asked = json.loads(made.request)
    assert asked["inputs"] == {"prompts": ["first", "second"], "system": "be brief"}
    assert asked["parameters"]["temperature"] == 0
    assert asked["parameters"]["seed"] == 7
    assert (asked["provider"], asked["model"]) == ("fake", "fake-1")
    assert json.loads(made.answer or b"")["data"] == {"a": 1}
    assert made.error is None


@pytest.mark.parametrize("text", [PICTURE, f"data:image/png;base64,{PICTURE}"])
def test_media_are_kept_by_their_type_size_and_hash_alone(text: str) -> None:
    beside = request(prompts=["look"], image_base64=text)
    parts = [{"type": "text", "text": "look"}, {"type": "image", "image_base64": text}]
    within = request(messages=[{"role": "user", "content": parts}])
    for each, path in ((beside, ("media", 0)), (within, ("messages", 0, "content", 1))):
        made = content_of(each, answer({}), 10_000)
        found: Any = json.loads(made.request)["inputs"]
        for step in path:
            found = found[step]
        assert found == DESCRIBED
        assert PICTURE[:60] not in made.request.decode()
        assert weight_of(each, answer({})) > len(text)


def test_media_that_cannot_be_read_are_kept_by_their_length_and_urls_as_they_are() -> None:
    asked = request(prompts=["look"], images_base64=["!!"], image_urls=["https://pictures.example/a.png"])
    media = json.loads(content_of(asked, answer({}), 10_000).request)["inputs"]["media"]
    assert {"type": "image", "url": "https://pictures.example/a.png"} in media
    assert {"type": "image", "characters": 2} in media


def test_a_failure_is_kept_as_its_error_and_a_defect_by_its_type_alone() -> None:
    failed = content_of(request(prompts=["hi"]), ProviderFailed("it broke"), 10_000)
    assert json.loads(failed.error or b"")["message"] == "it broke"
    assert failed.answer is None
    defect = content_of(request(prompts=["hi"]), ValueError("secret"), 10_000)
    assert json.loads(defect.error or b"") == {"type": "InternalServerError"}
    left = content_of(request(prompts=["hi"]), BaseException(), 10_000)
    assert (left.answer, left.error) == (None, None)


def test_long_texts_and_lists_are_cut_with_a_mark() -> None:
    long = content_of(request(prompts=["word " * 50_000, "short"]), answer({"v": [0.5] * 90_000}), 100_000)
    prompts = json.loads(long.request)["inputs"]["prompts"]
    assert prompts[0].startswith("word word ")
    assert prompts[0].endswith("[cut: 250000 characters in all]")
    assert prompts[1] == "short"
    kept = json.loads(long.answer or b"")["data"]["v"]
    assert kept[0] == 0.5
    assert kept[-1] == "[cut: 90000 items in all]"
    assert max(len(long.request), len(long.answer or b"")) <= 100_000


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=20), inner, max_size=30),
    max_leaves=60,
)


@settings(max_examples=50)
@given(_json, st.integers(64, 4_000))
def test_whatever_it_is_it_stays_json_within_its_bound(value: Any, most: int) -> None:
    made = bounded(value, most)
    assert len(made) <= most
    told = json.loads(made)
    if len(json.dumps(value, ensure_ascii=False).encode()) <= most:
        assert told == value


def test_content_opens_for_its_own_call_alone() -> None:
    content = content_of(request(prompts=["canary"]), answer({"text": "canary"}), 10_000)
    sealed = seal_content(KEK, HEAD, content)
    assert b"canary" not in sealed.ciphertext
    assert open_content(KEK, HEAD, sealed) == content
    for name in ("organization_id", "namespace_id", "record_id", "request_id"):
        with pytest.raises(InvalidTag):
            open_content(KEK, replace(HEAD, **{name: "other"}), sealed)
