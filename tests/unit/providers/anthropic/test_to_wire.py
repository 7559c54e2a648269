"""Chat calls as requests of the messages API."""

from typing import Any

import pytest

from inferway.errors import BadRequest
from inferway.providers.anthropic.structured import TOOL_NAME
from inferway.types import NamedTool, Reasoning, Tool, ToolCall
from tests.unit.providers.anthropic.exchanges import DOG, NEW, OLD, PLAIN, WEATHER, ask, said, sent, translate

UNKNOWN = "claude-epos-9"


def test_a_plain_call_is_a_plain_request() -> None:
    call = ask(said("system", "Be brief."), "Hello", temperature=0.2, max_tokens=50, stop=("END",))
    body, told = sent(call)
    assert body == {
        "model": PLAIN,
        "max_tokens": 50,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "temperature": 0.2,
        "stop_sequences": ["END"],
    }
    assert told == []


def test_a_request_goes_to_the_messages_path_with_the_version_that_takes_temperatures() -> None:
    request = translate(ask()).request
    assert (request.method, request.path, request.query) == ("POST", "/v1/messages", "")
    assert dict(request.headers) == {"content-type": "application/json", "anthropic-version": "2023-06-01"}


def test_a_stream_is_asked_for_only_when_wanted() -> None:
    assert sent(ask(stream=True))[0]["stream"] is True
    assert "stream" not in sent(ask())[0]


@pytest.mark.parametrize(
    ("model", "tokens", "told"),
    [
        (PLAIN, 64_000, []),
        (NEW, 128_000, []),
        ("claude-3-opus-20240229", 4_096, []),
        (OLD, 8_192, [("parameters.max_tokens", "translated")]),
        (UNKNOWN, 32_000, [("parameters.max_tokens", "translated")]),
        ("something-else", 4_096, [("parameters.max_tokens", "translated")]),
    ],
)
def test_max_tokens_is_the_models_own_maximum_or_a_told_default(
    model: str, tokens: int, told: list[tuple[str, str]]
) -> None:
    body, adaptations = sent(ask(), model)
    assert body["max_tokens"] == tokens
    assert adaptations == told


def test_max_tokens_above_the_models_maximum_is_clamped_and_told() -> None:
    body, told = sent(ask(max_tokens=100_000))
    assert body["max_tokens"] == 64_000
    assert told == [("parameters.max_tokens", "clamped")]


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-7",
        "claude-opus-4-8",
        "claude-opus-5",
        "claude-opus-5-5",
        "claude-sonnet-5",
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "claude-fable-5",
        "claude-fable-5-2",
        "claude-mythos-5",
    ],
)
def test_models_that_refuse_sampling_are_sent_none_and_it_is_told(model: str) -> None:
    body, told = sent(ask(temperature=0.5, top_p=0.9), model)
    assert "temperature" not in body
    assert "top_p" not in body
    assert told == [("parameters.temperature", "dropped"), ("parameters.top_p", "dropped")]


@pytest.mark.parametrize(
    "model",
    [
        "claude-haiku-4-5-20251001",
        "claude-sonnet-4-5",
        "claude-sonnet-4-6",
        "claude-opus-4-5",
        "claude-opus-4-6",
        OLD,
        "claude-3-haiku-20240307",
        UNKNOWN,
    ],
)
def test_models_that_take_a_temperature_and_unknown_ones_are_sent_it(model: str) -> None:
    assert sent(ask(temperature=0.5, max_tokens=9), model) == (
        {
            "model": model,
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "temperature": 0.5,
        },
        [],
    )


def test_from_the_version_that_refuses_sampling_on_no_model_is_sent_any() -> None:
    options = {"api_version": "2026-10-21"}
    call = ask(temperature=1.0, top_p=0.5)
    body, told = sent(call, options=options)
    assert "temperature" not in body
    assert "top_p" not in body
    assert told == [("parameters.temperature", "dropped"), ("parameters.top_p", "dropped")]
    assert ("anthropic-version", "2026-10-21") in translate(call, options=options).request.headers


def test_a_temperature_above_one_is_clamped_and_told() -> None:
    body, told = sent(ask(temperature=1.7))
    assert body["temperature"] == 1
    assert told == [("parameters.temperature", "clamped")]


def test_models_of_one_sampler_keep_the_temperature() -> None:
    body, told = sent(ask(temperature=0.5, top_p=0.9))
    assert body["temperature"] == 0.5
    assert "top_p" not in body
    assert told == [("parameters.top_p", "dropped")]
    both, untold = sent(ask(temperature=0.5, top_p=0.9, max_tokens=5), OLD)
    assert (both["temperature"], both["top_p"], untold) == (0.5, 0.9, [])


def test_what_the_api_does_not_have_is_dropped_and_told() -> None:
    body, told = sent(ask(seed=7, dimensions=3, unknown=("frequency_penalty",)))
    assert "seed" not in body
    assert told == [
        ("parameters.seed", "dropped"),
        ("parameters.dimensions", "dropped"),
        ("parameters.frequency_penalty", "dropped"),
    ]


def test_stop_sequences_of_blanks_are_left_out_and_told() -> None:
    body, told = sent(ask(stop=("\n\n", "END")))
    assert body["stop_sequences"] == ["END"]
    assert told == [("parameters.stop", "dropped")]
    assert "stop_sequences" not in sent(ask(stop=("\n",)))[0]


def test_tools_and_choices_have_the_apis_names() -> None:
    body, told = sent(ask(tools=(WEATHER,), tool_choice="auto"))
    assert body["tools"] == [
        {"name": "get_weather", "description": "The weather of a city", "input_schema": WEATHER.parameters}
    ]
    assert body["tool_choice"] == {"type": "auto"}
    assert told == []


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        (NamedTool(name="get_weather"), {"type": "tool", "name": "get_weather"}),
    ],
)
def test_each_tool_choice_is_translated(choice: Any, wire: dict[str, str]) -> None:
    assert sent(ask(tools=(WEATHER,), tool_choice=choice))[0]["tool_choice"] == wire


def test_a_tool_without_parameters_takes_an_empty_object() -> None:
    body, _ = sent(ask(tools=(Tool(name="now"),)))
    assert body["tools"] == [{"name": "now", "input_schema": {"type": "object", "properties": {}}}]


@pytest.mark.parametrize(
    "model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-fable-5-2"]
)
def test_models_that_cannot_be_forced_to_call_a_tool_are_left_to_choose(model: str) -> None:
    body, told = sent(ask(tools=(WEATHER,), tool_choice="required"), model)
    assert body["tool_choice"] == {"type": "auto"}
    assert told == [("parameters.tool_choice", "dropped")]


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_choice_without_tools_is_dropped_and_told(choice: Any) -> None:
    body, told = sent(ask(tool_choice=choice))
    assert "tool_choice" not in body
    assert told == [("parameters.tool_choice", "dropped")]
    refusing, told = sent(ask(tools=(WEATHER,), tool_choice=choice), facts={"tools": False})
    assert "tools" not in refusing
    assert told == [("parameters.tools", "dropped"), ("parameters.tool_choice", "dropped")]


def test_native_fields_reach_the_provider_unchanged() -> None:
    extra = {
        "top_k": 40,
        "metadata": {"user_id": "u1"},
        "service_tier": "auto",
        "system": [{"type": "text", "text": "S"}],
    }
    body, told = sent(ask(extra=extra))
    assert {name: body[name] for name in extra} == extra
    assert told == []


def test_native_betas_become_the_header_that_the_official_sdk_sends() -> None:
    call = ask(
        extra={"betas": ["files-api-2025-04-14", "x-2026-01-01"], "output_format": {"type": "json_schema"}}
    )
    request = translate(call).request
    assert ("anthropic-beta", "files-api-2025-04-14,x-2026-01-01") in request.headers
    body, _ = sent(call)
    assert "betas" not in body
    assert body["output_format"] == {"type": "json_schema"}


@pytest.mark.parametrize("betas", ["one", [1], ["a\r\nx: y"], {}])
def test_betas_that_are_no_list_of_words_are_refused(betas: object) -> None:
    with pytest.raises(BadRequest, match="betas") as caught:
        translate(ask(extra={"betas": betas}))
    assert caught.value.code == "extra_invalid"


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_native_fields_may_not_change_what_the_gateway_decides(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        translate(ask(extra={name: "x"}))
    assert caught.value.code == "extra_reserved"


def test_native_tools_join_the_common_ones() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    body, _ = sent(ask(tools=(WEATHER,), extra={"tools": [search], "tool_choice": {"type": "auto"}}))
    assert [tool["name"] for tool in body["tools"]] == ["get_weather", "web_search"]


def test_parallel_tool_use_is_switched_off_natively() -> None:
    call = ask(
        tools=(WEATHER,), tool_choice="required", extra={"tool_choice": {"disable_parallel_tool_use": True}}
    )
    assert sent(call)[0]["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


def test_system_given_twice_is_refused_rather_than_lost() -> None:
    with pytest.raises(BadRequest) as caught:
        translate(ask(said("system", "A"), "Hello", extra={"system": "B"}))
    assert caught.value.code == "conflicting_inputs"


def test_a_request_above_32_mib_is_refused_with_the_limit() -> None:
    with pytest.raises(BadRequest, match="33554432") as caught:
        translate(ask("x" * (32 * 1024 * 1024)))
    assert caught.value.code == "request_too_large"


# Thinking.


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16384), ("xhigh", 32000)],
)
def test_effort_is_a_thinking_budget_where_thinking_takes_one(effort: str, budget: int) -> None:
    body, told = sent(ask(reasoning_effort=effort))
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert "output_config" not in body
    assert body["max_tokens"] > budget
    assert told == [("parameters.reasoning_effort", "translated")]


def test_thinking_fits_into_the_callers_max_tokens() -> None:
    body, told = sent(ask(reasoning_effort="high", max_tokens=4000))
    assert body["max_tokens"] == 4000
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert told == [("parameters.reasoning_effort", "clamped")]


def test_without_room_for_the_least_budget_there_is_no_thinking() -> None:
    body, told = sent(ask(reasoning_effort="high", max_tokens=1024))
    assert "thinking" not in body
    assert told == [("parameters.reasoning_effort", "dropped")]


def test_the_default_max_tokens_leaves_room_behind_the_budget() -> None:
    body, _ = sent(ask(reasoning_effort="high"), OLD)
    assert body["max_tokens"] == 8_192 + 16_384


@pytest.mark.parametrize("effort", ["low", "medium", "high", "xhigh", "max"])
def test_effort_is_adaptive_thinking_on_newer_models_and_unknown_ones(effort: str) -> None:
    for model in (NEW, UNKNOWN):
        body, told = sent(ask(reasoning_effort=effort, max_tokens=9), model)
        assert body["thinking"] == {"type": "adaptive"}
        assert body["output_config"] == {"effort": effort}
        assert told == [("parameters.reasoning_effort", "translated")]


@pytest.mark.parametrize(
    ("model", "effort", "level", "action"),
    [
        (NEW, "minimal", "low", "translated"),
        ("claude-opus-4-6", "xhigh", "high", "clamped"),
        ("claude-opus-4-6", "max", "max", "translated"),
    ],
)
def test_an_effort_that_a_model_lacks_is_the_next_lower_one(
    model: str, effort: str, level: str, action: str
) -> None:
    body, told = sent(ask(reasoning_effort=effort, max_tokens=9), model)
    assert body["output_config"] == {"effort": level}
    assert told == [("parameters.reasoning_effort", action)]


def test_opus_4_5_takes_a_budget_and_an_effort() -> None:
    body, _ = sent(ask(reasoning_effort="max"), "claude-opus-4-5")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 32_000}
    assert body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(
    ("model", "thinking", "action"),
    [
        (PLAIN, {"type": "disabled"}, "translated"),
        (NEW, {"type": "disabled"}, "translated"),
        ("claude-sonnet-5-5", {"type": "between_tools"}, "translated"),
        ("claude-opus-5-5", None, "dropped"),
        ("claude-fable-5", None, "dropped"),
    ],
)
def test_thinking_is_switched_off_the_way_the_model_allows(
    model: str, thinking: dict[str, str] | None, action: str
) -> None:
    body, told = sent(ask(reasoning_effort="none"), model)
    assert body.get("thinking") == thinking
    assert told == [("parameters.reasoning_effort", action)]


def test_models_that_cannot_think_are_asked_for_nothing() -> None:
    body, told = sent(ask(reasoning_effort="high"), "claude-3-haiku-20240307")
    assert "thinking" not in body
    assert told == [("parameters.reasoning_effort", "dropped")]


def test_an_effort_that_no_model_of_budgets_knows_is_dropped() -> None:
    body, told = sent(ask(reasoning_effort="ultra"))
    assert "thinking" not in body
    assert told == [("parameters.reasoning_effort", "dropped")]


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        (PLAIN, None),
        ("claude-opus-4-6", None),
        (PLAIN, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ],
)
def test_a_temperature_does_not_stand_beside_thinking(model: str, extra: dict[str, Any] | None) -> None:
    effort = None if extra else "low"
    body, told = sent(ask(temperature=0.3, reasoning_effort=effort, extra=extra), model)
    assert body["thinking"]["type"] in ("enabled", "adaptive")
    assert "temperature" not in body
    assert ("parameters.temperature", "dropped") in told
    kept, untold = sent(ask(temperature=1.0, reasoning_effort=effort, extra=extra), model)
    assert kept["temperature"] == 1
    assert ("parameters.temperature", "dropped") not in untold


def test_a_low_top_p_does_not_stand_beside_thinking() -> None:
    assert "top_p" not in sent(ask(top_p=0.5, reasoning_effort="low"))[0]
    assert sent(ask(top_p=0.96, reasoning_effort="low"))[0]["top_p"] == 0.96


def test_a_forced_tool_leaves_no_thinking_by_budget() -> None:
    body, told = sent(ask(tools=(WEATHER,), tool_choice="required", reasoning_effort="low"))
    assert "thinking" not in body
    assert ("parameters.reasoning_effort", "dropped") in told
    adaptive, _ = sent(ask(tools=(WEATHER,), tool_choice="required", reasoning_effort="low"), NEW)
    assert adaptive["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize(
    ("reasoning", "thinks"), [((), False), ((Reasoning(text="Hm.", signature="s"),), True)]
)
def test_a_tool_loop_that_began_without_thinking_goes_on_without(
    reasoning: tuple[Reasoning, ...],
    thinks: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    called = said(
        "assistant", "", tool_calls=(ToolCall(id="a", name="f", arguments={}),), reasoning=reasoning
    )
    call = ask("x", called, said("tool", "y", tool_call_id="a"), tools=(WEATHER,), reasoning_effort="low")
    body, told = sent(call)
    assert ("thinking" in body) is thinks
    assert told == [("parameters.reasoning_effort", "translated" if thinks else "dropped")]
    assert sent(call, NEW)[0]["thinking"] == {"type": "adaptive"}


# Structured output.


def test_a_schema_is_the_models_own_output_format() -> None:
    body, told = sent(ask(schema=DOG, tools=(WEATHER,), reasoning_effort="low"), NEW)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": DOG}, "effort": "low"}
    assert [tool["name"] for tool in body["tools"]] == ["get_weather"]
    assert ("parameters.schema", "translated") not in told


def test_a_schema_that_has_to_be_rewritten_is_told() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    body, told = sent(ask(schema=schema))
    assert body["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}},
        "additionalProperties": False,
    }
    assert told == [("parameters.schema", "translated")]


def test_a_schema_whose_root_is_no_object_is_wrapped() -> None:
    body, _ = sent(ask(schema={"type": "array", "items": {"type": "string"}}))
    assert body["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"type": "string"}}},
        "required": ["value"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("model", [OLD, "claude-3-haiku-20240307", "claude-3-7-sonnet-20250219"])
def test_without_an_output_format_the_schema_is_a_forced_tool(model: str) -> None:
    body, told = sent(ask(schema=DOG, max_tokens=9), model)
    assert "output_config" not in body
    assert [(tool["name"], tool["input_schema"]) for tool in body["tools"]] == [(TOOL_NAME, DOG)]
    assert body["tool_choice"] == {"type": "tool", "name": TOOL_NAME}
    assert told == [("parameters.schema", "translated")]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object"},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        True,
        {},
    ],
)
def test_a_schema_that_the_output_format_cannot_say_is_a_forced_tool(schema: Any) -> None:
    body, _ = sent(ask(schema=schema))
    assert body["tool_choice"] == {"type": "tool", "name": TOOL_NAME}
    assert body["tools"][0]["input_schema"]["type"] == "object"


def test_with_other_tools_the_answering_tool_is_one_among_them() -> None:
    body, _ = sent(ask(schema=DOG, tools=(WEATHER, Tool(name=TOOL_NAME))), OLD)
    assert [tool["name"] for tool in body["tools"]] == ["get_weather", TOOL_NAME, f"{TOOL_NAME}_"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("model", "choice"), [(OLD, "none"), (OLD, "required"), (OLD, NamedTool(name="get_weather"))]
)
def test_where_no_answering_tool_can_be_called_the_schema_is_an_instruction(model: str, choice: Any) -> None:
    body, told = sent(
        ask(said("system", "Be kind."), "Hello", schema=DOG, tools=(WEATHER,), tool_choice=choice), model
    )
    assert body["system"].startswith("Be kind.\n\n")
    assert '"age":{"type":"integer"}' in body["system"]
    assert [tool["name"] for tool in body["tools"]] == ["get_weather"]
    assert ("parameters.schema", "translated") in told


def test_a_model_that_cannot_be_forced_gets_an_instruction_for_what_its_format_cannot_say() -> None:
    body, _ = sent(ask(schema={"type": "object"}), "claude-opus-5-5")
    assert "tools" not in body
    assert body["system"].endswith('{"type":"object"}')


def test_a_schema_that_nothing_satisfies_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        translate(ask(schema=False))
    assert caught.value.code == "impossible_schema"
