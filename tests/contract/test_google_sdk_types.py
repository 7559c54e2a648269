"""Google's own SDK types read every field that we send, and the answers that we read."""

import json
from typing import Any

import pytest
from google.genai import types

from inferway.providers.base import Target
from inferway.providers.google.embeddings import GoogleEmbeddingTranslator
from inferway.providers.google.transcription import GoogleTranscriptionTranslator
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
from tests.unit.providers.google.exchanges import (
    DOG,
    PIXEL,
    TRANSLATOR,
    WEATHER,
    answer,
    ask,
    on_vertex,
    read,
    said,
    seen,
    target,
)

SPEECH = Media(kind=MediaKind.AUDIO, data=b"RIFF", mime="audio/wav")
_HISTORY = (
    said("system", "Be brief."),
    "What is the weather?",
    Message(role="assistant", tool_calls=(ToolCall(id="q1", name="get_weather", arguments={"city": "Rom"}),)),
    Message(role="tool", tool_call_id="q1", content=(TextPart(text='{"sun": true}'), MediaPart(media=PIXEL))),
)
CHATS = [
    ask("Hi"),
    ask(*_HISTORY, tools=(WEATHER, Tool(name="now")), tool_choice="required"),
    ask(seen(PIXEL, SPEECH), tools=(WEATHER,), tool_choice=NamedTool(name="get_weather")),
    ask("Hi", temperature=0.5, max_tokens=9, top_p=0.5, stop=("a",), seed=1, reasoning_effort="low"),
    ask("Hi", schema=DOG),
    ask("Hi", schema={"type": "array", "items": {"type": "string"}}),
    ask("Hi", extra={"generationConfig": {"topK": 4}, "safetySettings": []}),
]
FIELDS: dict[str, Any] = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "generationConfig": types.GenerationConfig,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "safetySettings": list[types.SafetySetting],
}


def _parse(kind: Any, value: Any) -> Any:
    """The SDK's value; its models refuse fields that they do not know."""
    if getattr(kind, "__origin__", None) is list:
        return [kind.__args__[0].model_validate(item) for item in value]
    return kind.model_validate(value)


@pytest.mark.parametrize("call", CHATS)
@pytest.mark.parametrize("at", [target(), target("gemini-2.5-flash"), on_vertex("gemini-3.8-flash")])
def test_every_field_of_a_chat_request_is_one_that_the_sdk_knows(call: ChatCall, at: Target) -> None:
    body = json.loads(TRANSLATOR.to_wire(call, at).request.body)
    parsed = {name: _parse(FIELDS[name], value) for name, value in body.items()}
    first = parsed["contents"][0]
    assert first.role == "user"
    assert first.parts[0].text == body["contents"][0]["parts"][0]["text"]
    config = parsed.get("generationConfig")
    if config is not None and call.parameters.schema is not None:
        assert config.response_mime_type == "application/json"
        assert config.response_json_schema is not None
    for tool in parsed.get("tools", ()):
        assert tool.function_declarations[0].parameters_json_schema == WEATHER.parameters


def test_the_sdk_reads_calls_results_and_signatures_as_we_mean_them() -> None:
    whole = answer({"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"})
    completion = read(whole).completion
    turn = Message(role="assistant", tool_calls=completion.tool_calls, reasoning=completion.reasoning)
    result = said("tool", "done", tool_call_id=completion.tool_calls[0].id)
    body = json.loads(TRANSLATOR.to_wire(ask("Hi", turn, result), target()).request.body)
    _, model, user = [types.Content.model_validate(content) for content in body["contents"]]
    assert model.parts is not None
    assert user.parts is not None
    call, response = model.parts[0], user.parts[0].function_response
    assert call.function_call is not None
    assert (call.function_call.name, call.function_call.args) == ("f", {"a": 1})
    assert call.thought_signature == b"sig"
    assert response is not None
    assert (response.name, response.response) == ("f", {"output": "done"})


def test_the_answers_that_we_read_are_answers_to_the_sdk() -> None:
    sdk = types.GenerateContentResponse.model_validate(answer({"text": "Hi"}))
    assert sdk.text == read(answer({"text": "Hi"})).completion.text
    assert sdk.usage_metadata is not None
    used = read(answer({"text": "Hi"})).usage.tokens_used()
    assert used is not None
    assert sdk.usage_metadata.total_token_count == used["total"]


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3.5-transcribe"])
def test_every_field_of_a_transcription_is_one_that_the_sdk_knows(model: str) -> None:
    parameters = Parameters(language="en", prompt="Rom, Uri", response_format="words", temperature=0.5)
    call = TranscriptionCall(audio=SPEECH, parameters=parameters)
    body = json.loads(GoogleTranscriptionTranslator().to_wire(call, target(model)).request.body)
    parsed = {name: _parse(FIELDS[name], value) for name, value in body.items()}
    blob = parsed["contents"][0].parts[-1].inline_data
    assert (blob.mime_type, blob.data) == ("audio/wav", b"RIFF")


def test_every_field_of_an_embedding_is_one_that_the_sdk_knows() -> None:
    parameters = Parameters(dimensions=256, task_type="CLUSTERING", extra={"title": "T"})
    call = EmbeddingCall(items=("one", PIXEL), parameters=parameters)
    body = json.loads(GoogleEmbeddingTranslator().to_wire(call, target("gemini-embedding-2")).request.body)
    for request in body["requests"]:
        types.Content.model_validate(request.pop("content"))
        assert request.pop("model") == "models/gemini-embedding-2"
        config = types.EmbedContentConfig.model_validate(request)
        assert (config.output_dimensionality, config.task_type, config.title) == (256, "CLUSTERING", "T")
