"""The official SDK's own types parse what we send."""

import json
from typing import Any

import pytest
from openai.types import embedding_create_params
from openai.types.audio import transcription_create_params
from openai.types.chat import completion_create_params
from pydantic import ConfigDict, TypeAdapter

from inferway.providers.openai.embeddings import OpenAIEmbeddings
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.transcription import OpenAITranscription
from inferway.types import (
    ChatCall,
    EmbeddingCall,
    Media,
    MediaKind,
    MediaPart,
    Message,
    NamedTool,
    Parameters,
    TextPart,
    Tool,
    ToolCall,
    TranscriptionCall,
)
from tests.unit.providers.openai.samples import ask, sent, target, user

CONVERSATION = (
    Message(role="system", content=(TextPart(text="Be brief."),)),
    Message(
        role="user",
        content=(
            TextPart(text="What is it?"),
            MediaPart(media=Media(kind=MediaKind.IMAGE, base64="aW1n", mime="image/png")),
            MediaPart(media=Media(kind=MediaKind.AUDIO, base64="aW1n", mime="audio/wav")),
            MediaPart(media=Media(kind=MediaKind.DOCUMENT, base64="aW1n", mime="application/pdf")),
        ),
    ),
    Message(role="assistant", tool_calls=(ToolCall(id="c1", name="w", arguments={"city": "Oslo"}),)),
    Message(role="tool", tool_call_id="c1", content=(TextPart(text="Rain"),)),
    Message(role="assistant", content=(TextPart(text="It"), TextPart(text="rains."))),
)
TOOL = Tool(name="w", description="Weather", parameters={"type": "object", "properties": {}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

CALLS = [
    ask(user("Hi")),
    ask(user("Hi"), stream=True),
    ask(
        *CONVERSATION, tools=(TOOL,), tool_choice="required", temperature=0.5, top_p=0.5, max_tokens=9, seed=1
    ),
    ask(
        *CONVERSATION,
        tools=(TOOL,),
        tool_choice=NamedTool(name="w"),
        stop=("a", "b"),
        reasoning_effort="none",
    ),
    ask(user("Hi"), schema=SCHEMA),
    ask(user("Hi"), schema={"type": "array"}),
]


def strictly(types: list[Any]) -> list[TypeAdapter[Any]]:
    for kind in types:
        kind.__pydantic_config__ = ConfigDict(extra="forbid")
    return [TypeAdapter(kind) for kind in types]


CHAT_TYPES = strictly(
    [
        completion_create_params.CompletionCreateParamsNonStreaming,
        completion_create_params.CompletionCreateParamsStreaming,
    ]
)


@pytest.mark.parametrize("call", CALLS)
def test_chat_requests(call: ChatCall) -> None:
    body = sent(call)
    parsed = CHAT_TYPES[call.stream].validate_python(body)
    assert parsed.keys() == body.keys()
    # Iterables come out as lazy validators: reading them checks the messages themselves.
    assert len(list(parsed["messages"])) == len(body["messages"])
    assert len(list(parsed.get("tools", ()))) == len(body.get("tools", ()))


def test_embedding_requests() -> None:
    (kind,) = strictly([embedding_create_params.EmbeddingCreateParams])
    for items in (("a",), ("a", "b")):
        call = EmbeddingCall(items=items, parameters=Parameters(dimensions=3))
        body = json.loads(OpenAIEmbeddings("openai", Quirks()).to_wire(call, target("m")).request.body)
        assert kind.validate_python(body) == body


def test_transcription_fields() -> None:
    known = transcription_create_params.TranscriptionCreateParamsBase.__annotations__
    audio = Media(kind=MediaKind.AUDIO, data=b"x", mime="audio/wav")
    parameters = Parameters(language="en", prompt="p", temperature=0.1, response_format="words")
    request = (
        OpenAITranscription("openai", Quirks())
        .to_wire(TranscriptionCall(audio=audio, parameters=parameters), target("m"))
        .request
    )
    names = [
        line.partition(b'name="')[2].partition(b'"')[0].decode()
        for line in request.body.split(b"\r\n")
        if b'name="' in line
    ]
    assert {name.removesuffix("[]") for name in names} <= known.keys()
    assert len(names) == 7
