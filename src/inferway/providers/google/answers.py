"""The answers of Gemini's generateContent and embedding methods as typed values."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType


class FunctionCall(Struct, frozen=True, rename="camel"):
    """A call of a function; `id` is missing on older models, `args` when there are none."""

    name: str
    args: dict[str, Any] | None = None
    id: str | None = None
    partial_args: Any = None
    will_continue: Any = None


class SpokenWord(Struct, frozen=True, rename="camel"):
    """One word of a transcription; offsets are durations such as "1.500s"."""

    word: str
    start_offset: str | None = None
    end_offset: str | None = None


class AudioTranscription(Struct, frozen=True, rename="camel"):
    """What a transcription model heard, or one stretch of it."""

    text: str | None = None
    language_code: str | None = None
    speaker_label: str | None = None
    words: tuple[SpokenWord, ...] | None = None
    start_offset: str | None = None
    end_offset: str | None = None


class AnswerPart(Struct, frozen=True, rename="camel"):
    """One part of a candidate: exactly one of text, a function call, or something that our answer cannot carry."""

    text: str | UnsetType = UNSET
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    audio_transcription: AudioTranscription | None = None
    inline_data: Any = None
    file_data: Any = None
    executable_code: Any = None
    code_execution_result: Any = None
    tool_call: Any = None
    tool_response: Any = None

    def find_foreign(self) -> str | None:
        """The wire name of a content that a completion has no place for."""
        return next((wire for name, wire in _FOREIGN.items() if getattr(self, name) is not None), None)


_FOREIGN = {
    "inline_data": "inlineData",
    "file_data": "fileData",
    "executable_code": "executableCode",
    "code_execution_result": "codeExecutionResult",
    "tool_call": "toolCall",
    "tool_response": "toolResponse",
}


class Content(Struct, frozen=True):
    """What a candidate says. No parts at all is a real answer when thinking used up the tokens."""

    parts: tuple[AnswerPart, ...] | None = None
    role: str | None = None


class Candidate(Struct, frozen=True, rename="camel"):
    """One of the answers. Some Vertex clients ask for enums as numbers, so that `finishReason` may be one."""

    content: Content | None = None
    finish_reason: str | int | None = None
    index: int | None = None
    citation_metadata: Any = None
    grounding_metadata: Any = None
    logprobs_result: Any = None
    url_context_metadata: Any = None


class PromptFeedback(Struct, frozen=True, rename="camel"):
    """Why a prompt was not answered at all."""

    block_reason: str | int | None = None


class GenerateAnswer(Struct, frozen=True, rename="camel"):
    """A GenerateContentResponse, or one chunk of a stream of them. Source: Gemini API reference, generateContent."""

    candidates: tuple[Candidate, ...] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    model_version: Any = None
    error: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)

    def find_model(self) -> str | None:
        """The model that the provider says it ran."""
        return self.model_version if isinstance(self.model_version, str) and self.model_version else None


_chunk = msgspec.json.Decoder(GenerateAnswer)
_array = msgspec.json.Decoder(tuple[GenerateAnswer, ...])


def read_chunks(body: bytes) -> tuple[GenerateAnswer, ...]:
    """The chunks of an answer: one object, or the JSON array that a stream asked for without `alt=sse` gives.

    Raises a msgspec error when the body has another shape.
    """
    return _array.decode(body) if body.lstrip()[:1] == b"[" else (_chunk.decode(body),)
