"""Reading an inference body."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.errors import BadRequest, CallerError, InvalidShape
from inferway.pipeline.plain import find_plain
from inferway.pipeline.request import InferenceRequest, read_any, read_request
from inferway.types import MediaKind, MediaPart, NamedTool, Operation


def body(**fields: Any) -> bytes:
    return json.dumps({"provider": "openai", "model": "m", **fields}).encode()


def read(**fields: Any) -> InferenceRequest:
    return read_request(body(**fields))


def shape_error(content: bytes) -> dict[str, Any]:
    with pytest.raises(InvalidShape) as caught:
        read_request(content)
    assert caught.value.status == 422
    assert caught.value.details is not None
    finding: dict[str, Any] = caught.value.details["validation_errors"][0]
    assert finding["location"][0] == "body"
    return finding


@pytest.mark.parametrize(
    ("inputs", "operation"),
    [
        ({"prompts": ["a"]}, Operation.CHAT),
        ({"messages": [{"role": "user", "content": "a"}]}, Operation.CHAT),
        ({"prompts": ["a"], "image_url": "https://x/y.png"}, Operation.VISION),
        ({"prompts": ["a"], "images_base64": ["aaaa", "bbbb"]}, Operation.VISION),
        ({"prompts": ["a"], "document_base64": "aaaa"}, Operation.VISION),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "image_url": "https://x/y"}]}]},
            Operation.VISION,
        ),
        ({"text": "a"}, Operation.TEXT_EMBEDDING),
        ({"texts": ["a", "b"]}, Operation.TEXT_EMBEDDING),
        ({"image_base64": "aaaa"}, Operation.IMAGE_EMBEDDING),
        ({"video_url": "https://x/y.mp4"}, Operation.VIDEO_EMBEDDING),
        ({"audio_base64": "aaaa"}, Operation.TRANSCRIPTION),
        ({"audio_url": "https://x/y.wav"}, Operation.TRANSCRIPTION),
    ],
)
def test_the_operation_follows_from_the_inputs(inputs: dict[str, Any], operation: Operation) -> None:
    assert read(inputs=inputs).inputs.operation is operation


@pytest.mark.parametrize(
    ("inputs", "location", "kind"),
    [
        ({"prompts": "a"}, ["body", "inputs", "prompts"], "type_error"),
        ({"prompts": []}, ["body", "inputs", "prompts"], "value_error"),
        ({"prompts": ["a", ""]}, ["body", "inputs", "prompts", 1], "value_error"),
        ({"prompts": ["a", 1]}, ["body", "inputs", "prompts", 1], "type_error"),
        ({"texts": []}, ["body", "inputs", "texts"], "value_error"),
        ({"texts": ["a", ""]}, ["body", "inputs", "texts", 1], "value_error"),
        ({"text": ""}, ["body", "inputs", "text"], "value_error"),
        ({"prompt": "a"}, ["body", "inputs", "prompt"], "extra_forbidden"),
        ({}, ["body", "inputs"], "missing"),
        ({"system": "a"}, ["body", "inputs"], "missing"),
        ({"messages": []}, ["body", "inputs", "messages"], "value_error"),
        (
            {"messages": [{"role": "boss", "content": "a"}]},
            ["body", "inputs", "messages", 0, "role"],
            "value_error",
        ),
        (
            {"messages": [{"role": "tool", "content": "a"}]},
            ["body", "inputs", "messages", 0, "tool_call_id"],
            "missing",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            ["body", "inputs", "messages", 0, "content", 0],
            "value_error",
        ),
        ({"messages": [{"role": "user"}]}, ["body", "inputs", "messages", 0, "content"], "missing"),
    ],
)
def test_inputs_of_another_shape_are_a_422_with_their_place(
    inputs: dict[str, Any], location: list[Any], kind: str
) -> None:
    finding = shape_error(body(inputs=inputs))
    assert finding["location"] == location
    assert finding["type"] == kind


def test_an_unknown_top_level_key_is_refused_and_the_accepted_ones_are_named() -> None:
    finding = shape_error(body(inputs={"prompts": ["a"]}, temperature=1))
    assert finding["type"] == "extra_forbidden"
    assert finding["location"] == ["body", "temperature"]
    for name in ("provider", "model", "inputs", "parameters", "stream", "fallbacks", "dry_run"):
        assert name in finding["message"]


def test_a_wrong_key_names_the_key_that_was_meant() -> None:
    assert "'prompts'" in shape_error(body(inputs={"prompt": "a"}))["message"]


@pytest.mark.parametrize(
    "address",
    [
        {},
        {"provider": "a"},
        {"model": "a"},
        {"provider": "a", "model": "b", "inference_name": "c"},
        {"inference_name": "c", "feature_uri": "mixpeek://a@b/c"},
        {"provider": "a", "inference_name": "c"},
    ],
)
def test_anything_but_one_addressing_is_a_422(address: dict[str, str]) -> None:
    shape_error(json.dumps({**address, "inputs": {"prompts": ["a"]}}).encode())


def test_a_plugin_gets_its_inputs_as_they_came() -> None:
    request = read_request(b'{"inference_name":"p_1_0_0","inputs":{"anything":[1,2]}}')
    assert request.inputs.operation is Operation.PLUGIN
    assert request.inputs.raw is not None
    assert bytes(request.inputs.raw["anything"]) == b"[1,2]"


@pytest.mark.parametrize(
    "inputs",
    [
        {"prompts": ["a"], "text": "b"},
        {"prompts": ["a"], "messages": [{"role": "user", "content": "a"}]},
        {"text": "a", "texts": ["b"]},
        {"text": "a", "image_url": "https://x/y"},
        {"image_url": "https://x/y", "audio_url": "https://x/z"},
        {"image_url": "https://x/y", "image_base64": "aaaa"},
        {"document_base64": "aaaa"},
        {"messages": [{"role": "user", "content": "a"}], "image_url": "https://x/y"},
    ],
)
def test_inputs_that_contradict_one_another_are_a_400(inputs: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(inputs=inputs)
    assert caught.value.code == "conflicting_inputs"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"provider":"a","inputs":{"prompts":["a"]},}',
        b'{"provider":NaN}',
        b'{"provider":"a","model":"b","inputs":{"prompts":["\xff"]}}',
        b'{"provider":"a","model":"b","inputs":{"prompts":["a"],"other":"\xff"}}',
        b'{"provider":"a","model":"b","inputs":{"prompts":["\\ud800"]}}',
        b'{"provider":"a","model":"b","inputs":{"prompts":["a\nb"]}}',
        b"\xef\xbb\xbf{}",
        b'{"provider":1, broken',
        b'{"unknown":1, broken',
        b"\x00",
        b"[1,2",
        b"{}{}",
    ],
)
def test_bytes_that_are_not_json_are_a_400(content: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(content)
    assert caught.value.code == "malformed_json"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty, or it or an escape in it ends too early"),
        (b"{'provider':1}", "object keys must be strings (byte 1)"),
        (b'{"provider":"a",}', "trailing comma in object (byte 16)"),
        (b'{"provider":"\xff"}', "text in it is not UTF-8"),
        (b'{"provider":1, broken', "object keys must be strings (byte 15)"),
    ],
)
def test_what_is_not_json_is_said_to_be_wrong_where_it_is(content: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(content)
    assert caught.value.message == f"the body is not valid JSON: {said}"


def test_a_number_beyond_all_that_can_be_held_is_json_where_nobody_reads_it() -> None:
    content = b'{"provider":"a","model":"b","inputs":{"text":"x"},"parameters":{"new":1e999}%s}'
    assert read_request(content % b"").parameters.unknown == ("new",)
    assert shape_error(content % b',"other":1')["type"] == "extra_forbidden"


def test_fields_that_are_null_are_not_given() -> None:
    nulls = dict.fromkeys(
        ("parameters", "enable_semantic_cache", "cache_delta", "stream", "fallbacks", "dry_run")
    )
    assert read(inputs={"text": "a"}, inference_name=None, **nulls) == read(inputs={"text": "a"})


@pytest.mark.parametrize("content", [b"[]", b"null", b'"text"', b"1", b"true"])
def test_json_that_is_not_an_object_is_a_422(content: bytes) -> None:
    shape_error(content)


def nested(depth: int) -> bytes:
    schema = b'{"items":' * (depth - 2) + b"{}" + b"}" * (depth - 2)
    return b'{"provider":"a","model":"b","inputs":{"prompts":["a"]},"parameters":{"schema":%s}}' % schema


def test_nesting_is_taken_to_a_depth_of_64_and_no_deeper() -> None:
    assert read_request(nested(63)).parameters.schema is not None
    for depth in (66, 1000, 20_000):
        with pytest.raises(BadRequest) as caught:
            read_request(nested(depth))
        assert caught.value.code == "too_deep"


def test_brackets_inside_of_strings_do_not_nest() -> None:
    prompt = '[{"' * 500 + "\\"
    assert read(inputs={"prompts": [prompt]}).inputs.prompts == (prompt,)


def test_of_duplicate_keys_the_last_one_wins() -> None:
    request = read_request(b'{"provider":"a","provider":"z","model":"b","inputs":{"text":"x","text":"y"}}')
    assert request.provider == "z"
    assert request.inputs.texts == ("y",)


@pytest.mark.parametrize("delta", [-0.1, 1.1, "x"])
def test_a_cache_delta_outside_of_0_to_1_is_a_422(delta: object) -> None:
    assert shape_error(body(inputs={"text": "a"}, cache_delta=delta))["location"] == ["body", "cache_delta"]


@pytest.mark.parametrize(
    ("parameters", "location"),
    [
        ({"temperature": "hot"}, ["body", "parameters", "temperature"]),
        ({"temperature": -1}, ["body", "parameters", "temperature"]),
        ({"max_tokens": 0}, ["body", "parameters", "max_tokens"]),
        ({"max_tokens": 1.5}, ["body", "parameters", "max_tokens"]),
        ({"max_tokens": 2**63}, ["body", "parameters", "max_tokens"]),
        ({"max_tokens": 10**400}, ["body", "parameters", "max_tokens"]),
        ({"seed": -(10**30)}, ["body", "parameters", "seed"]),
        ({"dimensions": 10**30}, ["body", "parameters", "dimensions"]),
        ({"stop": [1]}, ["body", "parameters", "stop", 0]),
        ({"stop": ""}, ["body", "parameters", "stop"]),
        ({"stop": ["a", ""]}, ["body", "parameters", "stop", 1]),
        ({"tools": [{"description": "x"}]}, ["body", "parameters", "tools", 0, "name"]),
        ({"timeout_s": 0}, ["body", "parameters", "timeout_s"]),
        ({"extra": []}, ["body", "parameters", "extra"]),
    ],
)
def test_parameters_of_another_shape_are_a_422_with_their_place(
    parameters: dict[str, Any], location: list[Any]
) -> None:
    assert shape_error(body(inputs={"prompts": ["a"]}, parameters=parameters))["location"] == location


def test_unknown_parameters_are_kept_by_name_and_nulls_are_not_given() -> None:
    parameters = read(inputs={"prompts": ["a"]}, parameters={"top_q": 1, "temperature": None}).parameters
    assert parameters.unknown == ("top_q",)
    assert parameters.temperature is None


def test_a_tool_choice_is_a_word_or_a_name() -> None:
    parameters = read(
        inputs={"prompts": ["a"]}, parameters={"tools": [{"name": "f"}], "tool_choice": {"name": "f"}}
    ).parameters
    assert parameters.tool_choice == NamedTool(name="f")
    shape_error(body(inputs={"prompts": ["a"]}, parameters={"tool_choice": "sometimes"}))


def test_media_keep_their_kind_and_their_order() -> None:
    inputs = read(
        inputs={"prompts": ["a"], "image_urls": ["https://x/1", "https://x/2"], "audio_base64": "aaaa"}
    ).inputs
    assert [item.url for item in inputs.media] == ["https://x/1", "https://x/2", None]
    assert [item.kind for item in inputs.media] == [MediaKind.IMAGE, MediaKind.IMAGE, MediaKind.AUDIO]


def test_an_answer_can_be_appended_to_messages_as_it_is() -> None:
    answer = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "name": "f", "arguments": {"x": 1}}],
        "reasoning": [{"text": "t", "signature": "s"}],
    }
    messages = [
        {"role": "user", "content": "a"},
        answer,
        {"role": "tool", "tool_call_id": "c1", "content": "9"},
    ]
    read_back = read(inputs={"messages": messages}).inputs.messages
    assert read_back[1].tool_calls[0].arguments == {"x": 1}
    assert read_back[1].reasoning[0].signature == "s"
    assert read_back[2].tool_call_id == "c1"


def test_parts_of_a_message_carry_media() -> None:
    parts = [
        {"type": "text", "text": "what?"},
        {"type": "image", "image_base64": "aaaa"},
        {"type": "document", "document_base64": "bbbb"},
    ]
    message = read(inputs={"messages": [{"role": "user", "content": parts}]}).inputs.messages[0]
    kinds = [part.media.kind for part in message.content if isinstance(part, MediaPart)]
    assert kinds == [MediaKind.IMAGE, MediaKind.DOCUMENT]


def test_keys_of_inputs_that_nothing_reads_are_named() -> None:
    assert read(inputs={"prompts": ["a"], "mood": "good"}).inputs.ignored == ("mood",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["prompts", "messages", "text", "texts", "image_url", "audio_base64", "system", "parameters", "x"]
)


@given(st.dictionaries(NAMES, JSON, max_size=4), JSON)
def test_whatever_json_stands_in_the_body_it_is_read_or_refused_with_words(
    inputs: dict[str, Any], parameters: Any
) -> None:
    content = json.dumps({"provider": "p", "model": "m", "inputs": inputs, "parameters": parameters})
    with contextlib.suppress(BadRequest, InvalidShape):
        read_request(content.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_refused_with_words(content: bytes) -> None:
    with pytest.raises(CallerError):
        read_request(content)


NUMBERS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(-1, 3, allow_nan=False) | st.none(),
        "max_tokens": st.integers(-1, 9),
        "top_p": st.floats(-1, 2, allow_nan=False),
        "seed": st.integers(-5, 5),
        "timeout_s": st.integers(-1, 5),
        "stop": st.just("x"),
        "dimensions": st.integers(0, 3),
    },
)
PLAIN = st.fixed_dictionaries(
    {
        "inputs": st.fixed_dictionaries(
            {},
            optional={
                "prompts": st.lists(st.text(max_size=3), max_size=2),
                "system": st.text(max_size=3) | st.none(),
                "text": st.text(max_size=3) | st.none(),
                "texts": st.lists(st.text(max_size=3), max_size=2),
            },
        )
    },
    optional={"parameters": NUMBERS | st.none(), "stream": st.booleans(), "dry_run": st.booleans()},
)


@given(PLAIN)
def test_the_quick_way_reads_a_plain_body_as_the_general_one_does(fields: dict[str, Any]) -> None:
    content = body(**fields)
    found = find_plain(content)
    if found is not None:
        assert read_any(content) == read_request(content)
