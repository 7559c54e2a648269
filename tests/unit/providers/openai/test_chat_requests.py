"""The request that leaves for chat completions."""

import pytest

from inferway.errors import BadRequest
from inferway.providers.openai.chat import OpenAIChat
from inferway.providers.openai.quirks import COMPATIBLE, Quirks
from inferway.types import (
    Media,
    MediaKind,
    MediaPart,
    Message,
    NamedTool,
    Reasoning,
    TextPart,
    Tool,
    ToolCall,
)
from tests.unit.providers.openai.samples import ask, sent, target, told, user

PNG = Media(kind=MediaKind.IMAGE, base64="aW1n", mime="image/png")


def shown(*media: Media) -> Message:
    return Message(
        role="user", content=(TextPart(text="What is it?"), *(MediaPart(media=item) for item in media))
    )


def test_a_plain_question_is_the_model_and_the_messages() -> None:
    translated = OpenAIChat("openai", Quirks()).to_wire(ask(), target())
    assert translated.request.path == "/chat/completions"
    assert translated.request.headers == (("content-type", "application/json"),)
    assert sent(ask()) == {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Hello"}]}


def test_every_common_parameter_has_its_place() -> None:
    call = ask(
        temperature=0.2, max_tokens=256, top_p=0.9, stop=("END",), seed=7, reasoning_effort="none",
        tools=(Tool(name="f", description="", parameters={"type": "object"}),), tool_choice="required",
    )  # fmt: skip
    body = sent(call)
    assert body | {"messages": None} == {
        "model": "gpt-5.4-mini",
        "messages": None,
        "temperature": 0.2,
        "max_completion_tokens": 256,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
        "reasoning_effort": "none",
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "", "parameters": {"type": "object"}},
            }
        ],
        "tool_choice": "required",
    }
    assert told(call) == {}


def test_empty_lists_are_not_given() -> None:
    assert sent(ask(stop=(), tools=())).keys() == {"model", "messages"}


def test_one_tool_can_be_named() -> None:
    call = ask(tools=(Tool(name="f"),), tool_choice=NamedTool(name="f"))
    assert sent(call)["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert sent(call)["tools"] == [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    "model", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5-2025-08-07", "gpt-5-mini", "gpt-5.2-chat-latest",
              "gpt-5.4-pro", "gpt-5.5", "gpt-5.6-luna", "gpt-6-astra", "gpt-6.2-sol"]
)  # fmt: skip
def test_models_that_refuse_a_temperature_get_none_and_it_is_told(model: str) -> None:
    call = ask(temperature=0.5, top_p=0.5)
    assert sent(call, target(model)).keys() == {"model", "messages"}
    assert told(call, target(model)) == {"parameters.temperature": "dropped", "parameters.top_p": "dropped"}


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "gpt-4.1", "gpt-5.4", "gpt-5.4-nano", "gpt-5.1", "a-new-model"]
)
def test_other_models_and_unknown_ones_get_their_temperature(model: str) -> None:
    assert sent(ask(temperature=0.5), target(model))["temperature"] == 0.5


def test_models_that_take_sampling_only_without_reasoning() -> None:
    assert "temperature" not in sent(ask(temperature=0.5, reasoning_effort="high"), target("gpt-5.4"))
    assert sent(ask(temperature=0.5, reasoning_effort="none"), target("gpt-5.5"))["temperature"] == 0.5


def test_an_effort_that_a_model_lacks_becomes_the_nearest() -> None:
    call = ask(reasoning_effort="none")
    assert sent(call, target("gpt-5-mini"))["reasoning_effort"] == "minimal"
    assert told(call, target("gpt-5-mini")) == {"parameters.reasoning_effort": "clamped"}
    assert sent(ask(reasoning_effort="max"), target("o3"))["reasoning_effort"] == "high"
    assert sent(ask(reasoning_effort="new-word"), target("o3"))["reasoning_effort"] == "new-word"
    assert told(ask(reasoning_effort="low"), target("gpt-4o")) == {"parameters.reasoning_effort": "dropped"}


def test_values_outside_the_range_are_clamped_and_told() -> None:
    call = ask(temperature=3.0, stop=("a", "b", "c", "d", "e"), max_tokens=0)
    body = sent(call, target("gpt-4o"))
    assert (body["temperature"], body["stop"], body["max_completion_tokens"]) == (
        2.0,
        ["a", "b", "c", "d"],
        1,
    )
    assert set(told(call, target("gpt-4o")).values()) == {"clamped"}


def test_parameters_of_other_operations_and_unknown_ones_are_dropped_and_told() -> None:
    call = ask(dimensions=3, task_type="x", unknown=("top_k",))
    assert sent(call).keys() == {"model", "messages"}
    assert told(call) == dict.fromkeys(
        ("parameters.dimensions", "parameters.task_type", "parameters.top_k"), "dropped"
    )


def test_native_tools_join_the_common_ones() -> None:
    native = {"type": "custom", "custom": {"name": "grep"}}
    body = sent(ask(tools=(Tool(name="now"),), extra={"tools": [native]}))
    assert body["tools"] == [{"type": "function", "function": {"name": "now"}}, native]
    assert sent(ask(extra={"tools": [native]}))["tools"] == [native]


def test_extra_reaches_the_body_unchanged() -> None:
    body = sent(
        ask(stream=True, extra={"n": 2, "stream_options": {"include_usage": False}, "logit_bias": {"1": 2}})
    )
    assert (body["n"], body["logit_bias"]) == (2, {"1": 2})
    assert body["stream_options"] == {"include_usage": False}


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_extra_cannot_replace_what_the_gateway_decides(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(ask(extra={name: "x"}))
    assert caught.value.code == "extra_reserved"


def test_a_stream_asks_for_usage_unless_the_server_does_not_know_how() -> None:
    assert sent(ask(stream=True))["stream_options"] == {"include_usage": True}
    body = sent(ask(stream=True), quirks=Quirks(stream_usage=False))
    assert body["stream"] is True
    assert "stream_options" not in body


def test_a_conversation_with_tools_goes_back_as_it_came() -> None:
    messages = (
        Message(role="system", content=(TextPart(text="Be brief."),)),
        user("Weather?"),
        Message(role="assistant", tool_calls=(ToolCall(id="c1", name="w", arguments={"city": "Oslo"}),)),
        Message(role="tool", tool_call_id="c1", content=(TextPart(text="Rain"),)),
        Message(role="assistant", content=(TextPart(text="It rains."),)),
    )
    assert sent(ask(*messages))["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"city":"Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Rain"},
        {"role": "assistant", "content": "It rains."},
    ]


def test_a_model_without_system_messages_gets_them_from_the_user() -> None:
    call = ask(Message(role="system", content=(TextPart(text="Be brief."),)), user("Hi"))
    assert [message["role"] for message in sent(call, target("o1-mini"))["messages"]] == ["user", "user"]
    assert told(call, target("o1-mini")) == {"messages[0].role": "translated"}


def test_images_go_as_data_urls() -> None:
    call = ask(
        shown(PNG, Media(kind=MediaKind.IMAGE, data=b"img", mime="image/jpeg", url="https://x.example/a"))
    )
    assert sent(call)["messages"][0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,aW1n"}},
    ]


def test_an_image_url_is_passed_on_only_when_the_target_says_so() -> None:
    call = ask(shown(Media(kind=MediaKind.IMAGE, url="https://x.example/a.png")))
    content = sent(call, target(pass_media_urls=True))["messages"][0]["content"]
    assert content[1] == {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    with pytest.raises(BadRequest):
        sent(call)


def test_sound_and_pdf_have_their_own_parts() -> None:
    sound = Media(kind=MediaKind.AUDIO, data=b"img", mime="audio/x-wav")
    paper = Media(kind=MediaKind.DOCUMENT, base64="aW1n", mime="application/pdf")
    assert sent(ask(shown(sound, paper)))["messages"][0]["content"][1:] == [
        {"type": "input_audio", "input_audio": {"data": "aW1n", "format": "wav"}},
        {
            "type": "file",
            "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aW1n"},
        },
    ]


@pytest.mark.parametrize(
    "media",
    [
        Media(kind=MediaKind.IMAGE, base64="aQ==", mime="image/tiff"),
        Media(kind=MediaKind.AUDIO, base64="aQ==", mime="audio/flac"),
        Media(kind=MediaKind.DOCUMENT, base64="aQ==", mime="text/plain"),
        Media(kind=MediaKind.VIDEO, base64="aQ==", mime="video/mp4"),
    ],
)
def test_media_that_cannot_be_sent_are_refused_with_what_is_taken(media: Media) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(ask(shown(media)))
    assert caught.value.code == "input_not_supported"


def test_a_model_known_to_be_blind_gets_no_image() -> None:
    with pytest.raises(BadRequest, match="images with this model"):
        sent(ask(shown(PNG)), target("gpt-3.5-turbo"))
    assert sent(ask(shown(PNG)), target("some-model"))["messages"]


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
def test_media_belong_to_user_messages(role: str) -> None:
    message = Message(role=role, content=(MediaPart(media=PNG),), tool_call_id="c")  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="user messages only"):
        sent(ask(message))


def test_earlier_reasoning_is_left_out_and_told_or_sent_to_servers_that_want_it() -> None:
    turn = Message(
        role="assistant",
        content=(TextPart(text="4"),),
        reasoning=(Reasoning(text="2+2"),),
        tool_calls=(ToolCall(id="c", name="f", arguments={}),),
    )
    assert "reasoning_content" not in sent(ask(turn))["messages"][0]
    assert told(ask(turn)) == {"messages[0].reasoning": "translated"}
    quirks = Quirks(send_reasoning="tool_calls")
    assert sent(ask(turn), quirks=quirks)["messages"][0]["reasoning_content"] == "2+2"
    assert told(ask(turn), quirks=quirks) == {}


def test_a_compatible_server_gets_the_old_name_of_max_tokens_and_its_own_words() -> None:
    assert sent(ask(max_tokens=5), quirks=COMPATIBLE)["max_tokens"] == 5
    quirks = Quirks(fields={"seed": "random_seed"}, tool_choices={"required": "any"}, temperature_limit=1.0)
    body = sent(ask(seed=1, tool_choice="required", temperature=2.0), target("m"), quirks=quirks)
    assert (body["random_seed"], body["tool_choice"], body["temperature"]) == (1, "any", 1.0)


def test_a_fact_can_give_max_tokens_another_name_for_one_model() -> None:
    body = sent(ask(max_tokens=5), target("m", {"max_tokens_field": "max_output"}))
    assert body["max_output"] == 5
    assert "max_completion_tokens" not in body
