"""Messages as turns of content blocks."""

import base64

import pytest

from inferway.errors import BadRequest
from inferway.providers.anthropic.blocks import MAX_IMAGE_BASE64, REDACTED
from inferway.types import Media, MediaKind, MediaPart, Message, Reasoning, TextPart, ToolCall
from tests.unit.providers.anthropic.exchanges import FULL, NEW, PLAIN, ask, read, said, sent

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def _image(**fields: object) -> MediaPart:
    return MediaPart(media=Media(kind=MediaKind.IMAGE, **fields))  # type: ignore[arg-type]


def _document(mime: str | None, **fields: object) -> MediaPart:
    return MediaPart(media=Media(kind=MediaKind.DOCUMENT, mime=mime, **fields))  # type: ignore[arg-type]


def _user(*parts: MediaPart | TextPart) -> Message:
    return Message(role="user", content=parts)


def test_leading_system_messages_are_joined_outside_of_the_conversation() -> None:
    body, told = sent(ask(said("system", "One."), said("system", "Two."), "Hello"))
    assert body["system"] == "One.\n\nTwo."
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    assert told == []


def test_a_system_message_inside_the_conversation_is_moved_and_told() -> None:
    call = ask("Hello", said("assistant", "Hi"), "More", said("system", "Be brief."))
    body, told = sent(call)
    assert body["system"] == "Be brief."
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert told == [("inputs.messages", "translated")]


def test_a_model_that_takes_it_gets_a_system_message_where_it_stands() -> None:
    call = ask(
        said("system", "First."), "Hello", said("system", "Be brief."), said("assistant", "Hi"), "More"
    )
    body, told = sent(call, NEW)
    assert body["system"] == "First."
    assert body["messages"][1] == {"role": "system", "content": "Be brief."}
    assert [turn["role"] for turn in body["messages"]] == ["user", "system", "assistant", "user"]
    assert told == []


def test_a_system_message_behind_an_assistant_turn_is_moved_on_any_model() -> None:
    body, told = sent(ask("Hello", said("assistant", "Hi"), said("system", "Be brief."), "More"), NEW)
    assert body["system"] == "Be brief."
    assert told == [("inputs.messages", "translated")]


def test_neighbours_of_one_role_become_one_turn() -> None:
    body, _ = sent(ask("One", "Two"))
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]}
    ]


def test_tool_calls_and_their_results_are_blocks_of_two_turns() -> None:
    calls = (
        ToolCall(id="toolu_1", name="get_weather", arguments={"city": "Oslo"}),
        ToolCall(id="toolu_2", name="get_weather", arguments={}),
    )
    body, told = sent(
        ask(
            "Weather?",
            said("assistant", "Looking.", tool_calls=calls),
            said("tool", "4 degrees", tool_call_id="toolu_1"),
            Message(role="tool", tool_call_id="toolu_2", content=(TextPart(text="a"), TextPart(text="b"))),
            "And now?",
        )
    )
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}},
                {"type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "4 degrees"},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    assert told == []


def test_a_tool_result_may_be_empty_or_an_image() -> None:
    call = said("assistant", "", tool_calls=(ToolCall(id="a", name="f", arguments={}),))
    empty, _ = sent(ask("x", call, Message(role="tool", tool_call_id="a")))
    assert empty["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]
    picture = Message(role="tool", tool_call_id="a", content=(_image(base64=PNG, mime="image/png"),))
    shown, _ = sent(ask("x", call, picture))
    assert shown["messages"][2]["content"][0]["content"][0]["type"] == "image"


def test_a_tool_message_without_its_call_id_is_refused() -> None:
    with pytest.raises(BadRequest, match="tool_call_id"):
        sent(ask("x", said("tool", "y")))


def test_ids_that_the_api_refuses_are_rewritten_alike_for_call_and_result() -> None:
    calls = (
        ToolCall(id="functions.f:0", name="f", arguments={}),
        ToolCall(id="functions.f.0", name="f", arguments={}),
    )
    results = [said("tool", "y", tool_call_id=call.id) for call in calls]
    body, told = sent(ask("x", said("assistant", "", tool_calls=calls), *results))
    used = [block["id"] for block in body["messages"][1]["content"]]
    assert used == [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert len(set(used)) == 2
    assert all(name.replace("_", "").isalnum() for name in used)
    assert told == [("inputs.messages", "translated")]


def test_ids_that_repeat_are_numbered_and_results_follow_their_calls() -> None:
    def turn(*ids: str) -> list[Message]:
        calls = tuple(ToolCall(id=each, name="f", arguments={}) for each in ids)
        return [
            said("assistant", "", tool_calls=calls),
            *(said("tool", f"of {each}", tool_call_id=each) for each in ids),
        ]

    body, told = sent(
        ask("x", *turn("call_0", "call_1"), *turn("call_0"), *turn("call_0", "call_0_2", "call_0"))
    )
    blocks = [block for message in body["messages"][1:] for block in message["content"]]
    used = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert used == ["call_0", "call_1", "call_0_2", "call_0_3", "call_0_2_2", "call_0_4"]
    assert used == [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    assert told == [("inputs.messages", "translated")]


def test_thinking_is_sent_back_first_with_its_signature() -> None:
    reasoning = (
        Reasoning(text="Hm.", signature="sig"),
        Reasoning(signature=f"{REDACTED}opaque"),
        Reasoning(signature="s2"),
    )
    body, told = sent(ask("x", said("assistant", "y", reasoning=reasoning), "z"))
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
        {"type": "text", "text": "y"},
    ]
    assert told == []


@pytest.mark.parametrize("signature", [None, "google/thought:c2ln"])
def test_reasoning_without_a_signature_of_anthropics_cannot_be_sent_back_and_it_is_told(
    signature: str | None,
) -> None:
    reasoning = (Reasoning(text="Hm.", signature=signature),)
    body, told = sent(ask("x", said("assistant", "y", reasoning=reasoning), "z"))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "y"}]
    assert told == [("inputs.messages", "dropped")]


def test_an_answer_can_be_appended_as_it_is() -> None:
    made = read(FULL).completion
    turn = Message(
        role="assistant",
        content=(TextPart(text=made.text),),
        tool_calls=made.tool_calls,
        reasoning=made.reasoning,
    )
    results = [said("tool", "4", tool_call_id=call.id) for call in made.tool_calls]
    body, told = sent(ask("Weather?", turn, *results))
    joined = {"type": "text", "text": "Checking both."}
    assert body["messages"][1]["content"] == [*FULL["content"][:2], joined, *FULL["content"][4:]]
    assert told == []


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_assistant_turn_is_left_out_and_told(text: str) -> None:
    body, told = sent(ask("One", said("assistant", text), "Two"))
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    assert told == [("inputs.messages", "translated")]


def test_blanks_beside_a_tool_call_are_not_sent() -> None:
    call = said("assistant", "\n\n", tool_calls=(ToolCall(id="a", name="f", arguments={}),))
    body, told = sent(ask("x", call, said("tool", "y", tool_call_id="a")))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert told == []


def test_a_user_message_needs_content_and_a_conversation_a_message() -> None:
    with pytest.raises(BadRequest) as empty:
        sent(ask("x", Message(role="user")))
    assert empty.value.code == "empty_message"
    with pytest.raises(BadRequest) as none:
        sent(ask(said("system", "x")))
    assert none.value.code == "no_user_message"


# Media.


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/gif", "image/webp"])
def test_an_image_is_sent_as_base64_with_its_type(mime: str) -> None:
    body, _ = sent(ask(_user(TextPart(text="What?"), _image(base64=PNG, mime=mime))))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "What?"},
        {"type": "image", "source": {"type": "base64", "media_type": mime, "data": PNG}},
    ]


def test_loaded_bytes_are_encoded() -> None:
    body, _ = sent(
        ask(_user(_image(data=base64.b64decode(PNG), mime="image/png", url="https://a.example/x")))
    )
    assert body["messages"][0]["content"][0]["source"]["data"] == PNG


def test_a_url_is_handed_on_only_where_a_setting_says_so() -> None:
    call = ask(_user(_image(url="https://a.example/x.png"), _document(None, url="https://a.example/x.pdf")))
    body, _ = sent(call, pass_media_urls=True)
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
        {"type": "document", "source": {"type": "url", "url": "https://a.example/x.pdf"}},
    ]
    with pytest.raises(BadRequest) as caught:
        sent(call)
    assert caught.value.code == "media_not_loaded"


def test_documents_are_pdf_or_plain_text() -> None:
    pdf, text = base64.b64encode(b"%PDF-1.7").decode(), base64.b64encode("Größe".encode()).decode()
    body, _ = sent(
        ask(_user(_document("application/pdf", base64=pdf), _document("text/markdown", base64=text)))
    )
    assert [block["source"] for block in body["messages"][0]["content"]] == [
        {"type": "base64", "media_type": "application/pdf", "data": pdf},
        {"type": "text", "media_type": "text/plain", "data": "Größe"},
    ]
    with pytest.raises(BadRequest, match="UTF-8"):
        sent(ask(_user(_document("text/plain", data=b"\xff\xfe\xff"))))


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (_image(base64=PNG, mime="image/heic"), "image/jpeg, image/png, image/gif, image/webp"),
        (_image(base64=PNG), "unknown type"),
        (_document("application/zip", base64=PNG), "application/pdf"),
        (MediaPart(media=Media(kind=MediaKind.AUDIO, base64=PNG, mime="audio/wav")), "no audio input"),
        (MediaPart(media=Media(kind=MediaKind.VIDEO, base64=PNG, mime="video/mp4")), "no video input"),
    ],
)
def test_other_media_are_refused_naming_what_is_taken(part: MediaPart, named: str) -> None:
    with pytest.raises(BadRequest, match=named) as caught:
        sent(ask(_user(part)))
    assert caught.value.code == "media_unsupported"


def test_an_image_above_the_apis_limit_is_refused_with_the_limit_named() -> None:
    fits, too_large = "A" * MAX_IMAGE_BASE64, "A" * (MAX_IMAGE_BASE64 + 4)
    assert sent(ask(_user(_image(base64=fits, mime="image/png"))))[0]["messages"]
    for loaded in ({"base64": too_large}, {"data": bytes(MAX_IMAGE_BASE64 // 4 * 3 + 1)}):
        with pytest.raises(BadRequest, match="5242880") as caught:
            sent(ask(_user(_image(mime="image/png", **loaded))))
        assert caught.value.code == "media_too_large"
        assert caught.value.details == {"bytes": MAX_IMAGE_BASE64 + 4, "limit_bytes": MAX_IMAGE_BASE64}


def test_media_in_a_system_message_and_for_a_text_model_are_refused() -> None:
    part = _image(base64=PNG, mime="image/png")
    for call, model in (
        (ask(Message(role="system", content=(part,)), "x"), PLAIN),
        (ask(_user(part)), "claude-2.1"),
    ):
        with pytest.raises(BadRequest) as caught:
            sent(call, model)
        assert caught.value.code == "media_unsupported"
