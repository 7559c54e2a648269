"""What leaves for Google when somebody asks for a completion."""

import json
from typing import Any

import pytest

from inferway.errors import BadRequest
from inferway.types import Media, MediaKind, MediaPart, Message, NamedTool, TextPart, Tool, ToolCall
from tests.unit.providers.google.exchanges import (
    DOG,
    OLD,
    PIXEL,
    TRANSLATOR,
    WEATHER,
    ask,
    on_vertex,
    opened,
    said,
    seen,
    sent,
    target,
)


def test_a_prompt_is_one_content_of_the_user() -> None:
    body, told = sent(ask("Hi"))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert told == []


def test_the_path_names_version_model_and_method() -> None:
    request = TRANSLATOR.to_wire(ask(), target("gemini-3.8-flash")).request
    assert (request.method, request.path, request.query) == (
        "POST",
        "/v1beta/models/gemini-3.8-flash:generateContent",
        "",
    )
    streamed = TRANSLATOR.to_wire(ask(stream=True), target("gemini-3.8-flash")).request
    assert streamed.path == "/v1beta/models/gemini-3.8-flash:streamGenerateContent"
    assert streamed.query == "alt=sse"


def test_the_version_can_be_chosen() -> None:
    request = TRANSLATOR.to_wire(ask(), target(options={"api_version": "v1"})).request
    assert request.path.startswith("/v1/models/")


def test_vertex_has_its_own_path() -> None:
    request = TRANSLATOR.to_wire(ask(), on_vertex("gemini-3.8-flash")).request
    assert request.path == (
        "/v1beta1/projects/acme/locations/europe-west4/publishers/google/models/gemini-3.8-flash:generateContent"
    )
    older = TRANSLATOR.to_wire(ask(), on_vertex("gemini-3.8-flash", vertex_api_version="v1")).request
    assert older.path.startswith("/v1/projects/acme/")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/gemini-3.8-flash", "/v1beta/models/gemini-3.8-flash:"),
        ("tunedModels/mine-1", "/v1beta/tunedModels/mine-1:"),
        ("../../v1/models/x", "/v1beta/models/..%2F..%2Fv1%2Fmodels%2Fx:"),
        ("x?key=1#y", "/v1beta/models/x%3Fkey%3D1%23y:"),
        ("models/", "/v1beta/models/models%2F:"),
    ],
)
def test_a_model_name_cannot_leave_its_place_in_the_path(model: str, path: str) -> None:
    assert TRANSLATOR.to_wire(ask(), target(model)).request.path.startswith(path)


def test_common_parameters_reach_the_generation_config() -> None:
    body, told = sent(ask(temperature=0.5, max_tokens=100, top_p=0.9, stop=("END", "\n\n"), seed=7))
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "maxOutputTokens": 100,
        "topP": 0.9,
        "stopSequences": ["END", "\n\n"],
        "seed": 7,
    }
    assert told == []


def test_values_out_of_range_are_clamped_and_told() -> None:
    body, told = sent(ask(temperature=3, stop=("a", "b", "c", "d", "e", "f"), seed=2**40))
    assert body["generationConfig"] == {
        "temperature": 2,
        "stopSequences": ["a", "b", "c", "d", "e"],
        "seed": 2**31 - 1,
    }
    assert told == [
        ("parameters.temperature", "clamped"),
        ("parameters.stop", "clamped"),
        ("parameters.seed", "clamped"),
    ]


def test_parameters_of_other_operations_are_dropped_and_told() -> None:
    _, told = sent(ask(dimensions=3, unknown=("penalty",)))
    assert told == [("parameters.dimensions", "dropped"), ("parameters.penalty", "dropped")]


def test_system_messages_become_the_system_instruction() -> None:
    body, told = sent(ask(said("system", "Be kind."), said("system", "Be brief."), "Hi"))
    assert body["systemInstruction"] == {"parts": [{"text": "Be kind."}, {"text": "Be brief."}]}
    assert [content["role"] for content in body["contents"]] == ["user"]
    assert told == []


def test_a_later_system_message_is_moved_to_the_front_and_told() -> None:
    body, told = sent(ask("Hi", said("system", "Be brief.")))
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert told == [("messages[1]", "translated")]


def test_a_model_without_system_instruction_gets_the_text_in_front() -> None:
    body, told = sent(ask(said("system", "Be brief."), "Hi"), "gemma-3-27b-it")
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Be brief."}, {"text": "Hi"}]}]}
    assert told == [("system", "translated")]


def test_an_image_as_system_instruction_is_the_callers_error() -> None:
    message = Message(role="system", content=(MediaPart(media=PIXEL),))
    with pytest.raises(BadRequest) as caught:
        sent(ask(message, "Hi"))
    assert caught.value.code == "media_unsupported"


@pytest.mark.parametrize(
    ("kind", "mime"),
    [
        (MediaKind.IMAGE, "image/webp"),
        (MediaKind.AUDIO, "audio/mpeg"),
        (MediaKind.VIDEO, "video/mp4"),
        (MediaKind.DOCUMENT, "application/pdf"),
    ],
)
def test_media_travel_as_inline_data(kind: MediaKind, mime: str) -> None:
    body, _ = sent(ask(seen(Media(kind=kind, data=b"abc", mime=mime))))
    assert body["contents"][0]["parts"] == [
        {"text": "Look"},
        {"inlineData": {"mimeType": mime, "data": "YWJj"}},
    ]


def test_a_url_is_handed_on_only_where_that_is_allowed() -> None:
    photo = Media(kind=MediaKind.IMAGE, url="https://example.com/a/photo.JPG?size=2")
    body, _ = sent(ask(seen(photo)), pass_media_urls=True)
    assert body["contents"][0]["parts"][1] == {
        "fileData": {"fileUri": "https://example.com/a/photo.JPG?size=2", "mimeType": "image/jpeg"}
    }
    with pytest.raises(BadRequest):
        sent(ask(seen(photo)))
    with pytest.raises(BadRequest):
        sent(ask(seen(photo)), pass_media_urls=True, facts={"media_urls": False})


def test_a_url_of_unknown_type_is_the_callers_error() -> None:
    with pytest.raises(BadRequest) as caught:
        sent(ask(seen(Media(kind=MediaKind.IMAGE, url="https://example.com/photo"))), pass_media_urls=True)
    assert caught.value.code == "media_type_unknown"


def test_a_model_known_to_be_blind_refuses_images() -> None:
    with pytest.raises(BadRequest) as caught:
        sent(ask(seen(PIXEL)), facts={"vision": False})
    assert caught.value.code == "media_unsupported"


def test_tools_are_function_declarations() -> None:
    body, told = sent(ask(tools=(WEATHER, Tool(name="now"))))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "description": "The weather of a city",
                    "parametersJsonSchema": WEATHER.parameters,
                },
                {"name": "now"},
            ]
        }
    ]
    assert "toolConfig" not in body
    assert told == []


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (NamedTool(name="get_weather"), {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}),
    ],
)
def test_the_choice_of_a_tool_is_a_mode(choice: Any, config: dict[str, Any]) -> None:
    body, _ = sent(ask(tools=(WEATHER,), tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_a_choice_without_tools_is_dropped_and_told() -> None:
    body, told = sent(ask(tool_choice="required"))
    assert "toolConfig" not in body
    assert told == [("parameters.tool_choice", "dropped")]


def _called(*ids: str) -> Message:
    calls = tuple(ToolCall(id=name, name=f"tool_{name}", arguments={"n": 1}) for name in ids)
    return Message(role="assistant", tool_calls=calls)


def test_results_of_parallel_calls_are_one_content_with_the_tools_names() -> None:
    history = (
        "Do both",
        _called("a", "b"),
        said("tool", '{"ok": true}', tool_call_id="a"),
        said("tool", "plain", tool_call_id="b"),
        "Thanks",
    )
    body, _ = sent(ask(*history))
    assert body["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "tool_a", "args": {"n": 1}}},
                {"functionCall": {"id": "b", "name": "tool_b", "args": {"n": 1}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "tool_a", "response": {"ok": True}}},
                {"functionResponse": {"id": "b", "name": "tool_b", "response": {"output": "plain"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "Thanks"}]},
    ]


def test_an_id_that_the_gateway_made_is_not_sent_back() -> None:
    body, _ = sent(ask("Hi", _called("call_0"), said("tool", "[1]", tool_call_id="call_0")))
    assert body["contents"][1]["parts"] == [{"functionCall": {"name": "tool_call_0", "args": {"n": 1}}}]
    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"name": "tool_call_0", "response": {"output": "[1]"}}}
    ]


def test_ids_that_come_again_in_a_later_turn_name_the_later_tool() -> None:
    first = Message(role="assistant", tool_calls=(ToolCall(id="call_0", name="one", arguments={}),))
    second = Message(role="assistant", tool_calls=(ToolCall(id="call_0", name="two", arguments={}),))
    result = said("tool", "x", tool_call_id="call_0")
    body, _ = sent(ask("Hi", first, result, second, result))
    names = [
        part["functionResponse"]["name"]
        for content in body["contents"]
        for part in content["parts"]
        if "functionResponse" in part
    ]
    assert names == ["one", "two"]


def test_a_result_of_an_unknown_call_is_the_callers_error() -> None:
    with pytest.raises(BadRequest) as caught:
        sent(ask("Hi", said("tool", "x", tool_call_id="nobody")))
    assert caught.value.code == "unknown_tool_call"


def test_an_image_as_a_tools_result_travels_inside_it() -> None:
    result = Message(role="tool", tool_call_id="a", content=(TextPart(text="see"), MediaPart(media=PIXEL)))
    body, _ = sent(ask("Hi", _called("a"), result))
    response = body["contents"][2]["parts"][0]["functionResponse"]
    assert response["response"] == {"output": "see"}
    assert response["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]


def test_a_schema_is_the_models_own_response_schema() -> None:
    body, told = sent(ask(schema=DOG))
    assert body["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": DOG}
    assert told == []


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"Node": DOG}, "$ref": "#/$defs/Node"},
        {"anyOf": [DOG, {"type": "object"}]},
        {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": DOG}},
    ],
)
def test_a_root_that_is_an_object_by_reference_or_union_is_sent_as_it_is(schema: dict[str, Any]) -> None:
    body, _ = sent(ask(schema=schema))
    assert body["generationConfig"]["responseJsonSchema"] == schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"enum": ["a", "b"]},
        {"anyOf": [DOG, {"type": "null"}]},
        {"$ref": "#"},
        {"$ref": "#/$defs/nothing"},
        True,
    ],
)
def test_other_roots_are_wrapped(schema: Any) -> None:
    body, _ = sent(ask(schema=schema))
    whole = body["generationConfig"]["responseJsonSchema"]
    assert whole["type"] == "object"
    assert whole["required"] == ["value"]


def test_an_older_model_gets_the_older_field() -> None:
    body, _ = sent(ask(schema=DOG, tools=None), "gemini-1.5-pro")
    assert body["generationConfig"] == {"responseMimeType": "application/json", "responseSchema": DOG}


def test_a_model_that_takes_no_schema_beside_tools_is_told_in_words() -> None:
    body, told = sent(ask(said("system", "Be kind."), "Hi", schema=DOG, tools=(WEATHER,)), OLD)
    assert "generationConfig" not in body
    texts = [part["text"] for part in body["systemInstruction"]["parts"]]
    assert texts[0] == "Be kind."
    assert json.dumps(DOG, separators=(",", ":")) in texts[1]
    assert told == [("parameters.schema", "translated")]
    newer, _ = sent(ask(schema=DOG, tools=(WEATHER,)))
    assert newer["generationConfig"]["responseJsonSchema"] == DOG


@pytest.mark.parametrize(
    ("model", "effort", "config", "action"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}, "translated"),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024}, "translated"),
        ("gemini-2.5-flash", "max", {"thinkingBudget": 24576}, "translated"),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}, "clamped"),
        ("gemini-2.5-pro", "max", {"thinkingBudget": 32768}, "translated"),
        ("gemini-3.8-flash", "low", {"thinkingLevel": "low"}, "translated"),
        ("gemini-3.8-flash", "HIGH", {"thinkingLevel": "high"}, "translated"),
        ("gemini-3.8-flash", "max", {"thinkingLevel": "high"}, "clamped"),
        ("gemini-3.8-flash", "none", {"thinkingLevel": "minimal"}, "clamped"),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "low"}, "clamped"),
        ("gemini-4-neon", "minimal", {"thinkingLevel": "low"}, "clamped"),
        ("gemini-9-future", "xhigh", {"thinkingLevel": "xhigh"}, "translated"),
    ],
)
def test_an_effort_is_a_budget_or_a_level_and_is_told(
    model: str, effort: str, config: dict[str, Any], action: str
) -> None:
    body, told = sent(ask(reasoning_effort=effort), model)
    assert body["generationConfig"] == {"thinkingConfig": config}
    assert told == [("parameters.reasoning_effort", action)]


def test_vertex_spells_levels_in_capitals() -> None:
    body, _ = opened(TRANSLATOR.to_wire(ask(reasoning_effort="low"), on_vertex("gemini-3.8-flash")))
    assert body["generationConfig"] == {"thinkingConfig": {"thinkingLevel": "LOW"}}


def test_a_schema_that_a_model_is_known_not_to_take_is_dropped_and_told() -> None:
    body, told = sent(ask(schema=DOG), facts={"schema": False})
    assert "generationConfig" not in body
    assert told == [("parameters.schema", "dropped")]


def test_an_effort_that_cannot_be_said_is_dropped_and_told() -> None:
    for model, effort in (("gemini-2.0-flash", "low"), ("gemini-3.8-flash", "heroic")):
        body, told = sent(ask(reasoning_effort=effort), model)
        assert "generationConfig" not in body
        assert told == [("parameters.reasoning_effort", "dropped")]


def test_native_fields_are_merged_deep_and_unchanged() -> None:
    extra = {
        "generationConfig": {"topK": 40, "thinkingConfig": {"includeThoughts": True}},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "systemInstruction": {"role": "user"},
    }
    body, told = sent(
        ask(said("system", "Be kind."), "Hi", temperature=1, reasoning_effort="low", extra=extra)
    )
    assert body["generationConfig"] == {
        "temperature": 1,
        "topK": 40,
        "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
    }
    assert body["safetySettings"] == extra["safetySettings"]
    assert body["systemInstruction"] == {"role": "user", "parts": [{"text": "Be kind."}]}
    assert told == [("parameters.reasoning_effort", "translated")]


@pytest.mark.parametrize("given", [{"parts": [{"text": "Be brief."}]}, {"parts": []}, "Be brief.", None])
def test_system_given_twice_is_refused_rather_than_lost(given: Any) -> None:
    extra = {"systemInstruction": given}
    with pytest.raises(BadRequest) as caught:
        sent(ask(said("system", "Be kind."), "Hi", extra=extra))
    assert caught.value.code == "conflicting_inputs"
    assert sent(ask("Hi", extra=extra))[0]["systemInstruction"] == given


def test_native_tools_stand_beside_the_callers_functions() -> None:
    body, _ = sent(ask(tools=(WEATHER,), extra={"tools": [{"googleSearch": {}}]}))
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["googleSearch"]]


def test_native_fields_cannot_replace_what_the_gateway_decides() -> None:
    with pytest.raises(BadRequest) as caught:
        sent(ask(extra={"contents": []}))
    assert caught.value.code == "extra_reserved"


def test_a_model_of_vertex_without_a_project_is_the_callers_error() -> None:
    with pytest.raises(BadRequest) as caught:
        TRANSLATOR.to_wire(ask(), target("gemini-3.8-flash", options={"use_vertex": True}))
    assert caught.value.code == "vertex_not_configured"


def test_an_empty_assistant_turn_is_left_out() -> None:
    body, _ = opened(TRANSLATOR.to_wire(ask("Hi", Message(role="assistant"), "Again"), target()))
    assert [content["role"] for content in body["contents"]] == ["user", "user"]
