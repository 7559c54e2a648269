"""What a chat completion's choice says, whole or collected from a stream, and how it becomes our completion."""

from typing import Any

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from inferway.errors import ProviderBadAnswer
from inferway.providers.openai.usage import chat_usage
from inferway.providers.schema import unwrap
from inferway.types import ChatResult, Completion, FinishReason, Reasoning, Structured, ToolCall

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
}
"""Finish reasons of OpenAI and, with the same meaning, of compatible servers."""

SPOKEN = "spoken output is not part of the answer; its transcript is"
LOGPROBS = "log probabilities have no place in this answer and were left out"

Uncarried = dict[str, Raw] | list[Raw] | str | float | bool | None
"""A part of an answer that ours has no place for: only whether it is there is read."""


class FunctionAnswer(Struct, frozen=True, kw_only=True):
    """`function` of a tool call; some servers give the arguments as an object already."""

    name: str
    arguments: str | dict[str, Any] | None


class ToolCallAnswer(Struct, frozen=True, kw_only=True):
    """An entry of `message.tool_calls`; some servers give no id."""

    id: str | None = None
    function: FunctionAnswer | None = None


class ContentPart(Struct, frozen=True, kw_only=True):
    """A part of a `content` given as a list, as Mistral's reasoning models do."""

    type: str
    text: str | None = None
    thinking: Any = None


class AudioAnswer(Struct, frozen=True, kw_only=True):
    """`message.audio`: spoken output; its transcript is the text."""

    transcript: str


class MessageAnswer(Struct, frozen=True, kw_only=True):
    """`choices[].message`. Reasoning is an extension of compatible servers, under either name."""

    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallAnswer] | None = None
    function_call: FunctionAnswer | None = None
    audio: AudioAnswer | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    annotations: Uncarried = None


class FinishDetails(Struct, frozen=True, kw_only=True):
    """`finish_details`, which the vision previews of 2023 gave instead of a finish reason."""

    type: str


class ChoiceAnswer(Struct, frozen=True, kw_only=True):
    """An entry of `choices`."""

    message: MessageAnswer
    index: int = 0
    finish_reason: str | None = None
    finish_details: FinishDetails | None = None
    logprobs: Uncarried = None


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """A chat completion; `error` is what some servers put into a 200."""

    choices: list[ChoiceAnswer] | None = None
    model: Any = None
    usage: Raw = field(default_factory=Raw)
    error: Raw = field(default_factory=Raw)


class Said(Struct, frozen=True, kw_only=True):
    """One choice, complete. `text` None means that no content was given.

    `tool_calls` are (id, name, arguments); a call that the server gave no id has an empty one.
    """

    finish: str | None
    text: str | None
    refusal: str | None
    reasoning: str
    tool_calls: tuple[tuple[str, str, str | dict[str, Any] | None], ...]
    warnings: tuple[str, ...] = ()


def said_by(choice: ChoiceAnswer) -> Said:
    """One whole choice in the shape that a stream's collected choice has too."""
    message = choice.message
    text, thoughts = read_content(message.content)
    if message.audio is not None and text is None:
        text = message.audio.transcript
    finish = choice.finish_reason or None
    if finish is None and choice.finish_details is not None:
        finish = choice.finish_details.type
    return Said(
        finish=finish,
        text=text,
        refusal=message.refusal or None,
        reasoning=thoughts + (reasoning_text(message.reasoning_content) or reasoning_text(message.reasoning)),
        tool_calls=tuple(_read_calls(message)),
        warnings=left_out(
            spoken=message.audio is not None,
            logprobs=has_logprobs(choice.logprobs),
            annotations=count_annotations(message.annotations),
        ),
    )


def left_out(*, spoken: bool, logprobs: bool, annotations: int) -> tuple[str, ...]:
    """What to warn of where a choice holds what ours has no place for."""
    told = {SPOKEN: spoken, LOGPROBS: logprobs, f"annotations were left out: {annotations}": annotations}
    return tuple(warning for warning, is_there in told.items() if is_there)


def has_logprobs(logprobs: Uncarried) -> bool:
    """Whether there are any: the object may hold nothing but nulls and empty lists."""
    if isinstance(logprobs, dict):
        return any(is_given(value) and bytes(value) != b"[]" for value in logprobs.values())
    return bool(logprobs)


def count_annotations(annotations: Uncarried) -> int:
    """How many there are, such as citations of a search; 0 for what is no list."""
    return len(annotations) if isinstance(annotations, list) else 0


def is_given(raw: Raw) -> bool:
    """Whether an optional part of an answer is there and not null."""
    return bytes(raw) not in (b"", b"null")


def reasoning_text(value: object) -> str:
    """Reasoning given as text; anything else is not ours to read."""
    return value if isinstance(value, str) else ""


def read_content(content: str | list[ContentPart] | None) -> tuple[str | None, str]:
    """The text of a content (None when there is none) and the reasoning inside it."""
    if not isinstance(content, list):
        return content, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if part.type == "thinking":
            thoughts.append(_thinking_text(part.thinking))
        elif part.text is not None:
            texts.append(part.text)
        else:
            raise ProviderBadAnswer(f"The answer has a part of content that is not known: {part.type[:40]}.")
    return "".join(texts), "".join(thoughts)


def _thinking_text(thinking: object) -> str:
    if isinstance(thinking, list):
        return "".join(reasoning_text(part.get("text")) for part in thinking if isinstance(part, dict))
    return reasoning_text(thinking)


def _read_calls(message: MessageAnswer) -> list[tuple[str, str, str | dict[str, Any] | None]]:
    calls: list[tuple[str, str, str | dict[str, Any] | None]] = []
    for call in message.tool_calls or ():
        if call.function is None:
            raise ProviderBadAnswer("The answer has a tool call that names no function.")
        calls.append((call.id or "", call.function.name, call.function.arguments))
    if message.function_call is not None:
        calls.append(("", message.function_call.name, message.function_call.arguments))
    return calls


def make_completion(said: Said, structured: Structured | None) -> tuple[Completion, tuple[str, ...]]:
    """The completion and what to warn of; raises `ProviderBadAnswer` when the choice is no answer.

    A refusal becomes `content_filter` with an empty text, though OpenAI says `stop`. Tool calls make a `stop` a `tool_calls`, as a named
    tool choice is answered with `stop`. A finish reason that is not known is None, with a warning. A tool call whose arguments were cut by
    the token limit is left out, with a warning; other arguments that are no JSON object make the answer a bad one.
    """
    if said.finish is None:
        raise ProviderBadAnswer("The answer does not say why it ended.")
    finish = _FINISH.get(said.finish)
    warnings = list(said.warnings)
    if finish is None:
        warnings.append(f"the provider's finish reason {said.finish[:40]!r} is not known")
    calls = _decode_calls(said, finish, warnings)
    if said.refusal is not None:
        finish = "content_filter"
    elif calls and finish == "stop":
        finish = "tool_calls"
    _check_complete(said, finish, has_calls=bool(said.tool_calls))
    completion = Completion(
        text=said.text or "",
        finish_reason=finish,
        tool_calls=calls,
        reasoning=(Reasoning(text=said.reasoning),) if said.reasoning else (),
        refusal=said.refusal,
        structured=structured,
    )
    return completion, tuple(warnings)


def _check_complete(said: Said, finish: FinishReason | None, *, has_calls: bool) -> None:
    """Refuse an answer whose text or tool calls are missing without a reason, so that none is made up."""
    if finish == "tool_calls" and not has_calls:
        raise ProviderBadAnswer("The answer ended for a tool call and holds none.")
    explained = (
        said.reasoning or has_calls or said.refusal is not None or finish in ("length", "content_filter")
    )
    if said.text is None and not explained:
        raise ProviderBadAnswer("The answer holds no content.")


def make_call_id(place: int) -> str:
    """The id of a call that the server gave none: the caller's answer to the call has to name one."""
    return f"call_{place}"


def _decode_calls(said: Said, finish: FinishReason | None, warnings: list[str]) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for place, (call_id, name, arguments) in enumerate(said.tool_calls):
        decoded = _decode_arguments(arguments)
        if decoded is not None:
            calls.append(ToolCall(id=call_id or make_call_id(place), name=name, arguments=decoded))
        elif finish == "length":
            warnings.append("a tool call was cut by the token limit and is left out")
        else:
            raise ProviderBadAnswer("The model's arguments of a tool call are not a JSON object.")
    return tuple(calls)


def _decode_arguments(arguments: str | dict[str, Any] | None) -> dict[str, Any] | None:
    """The arguments as an object; servers say "no arguments" as an empty text too."""
    if isinstance(arguments, dict):
        return arguments
    if not (arguments or "").strip():
        return {}
    try:
        return msgspec.json.decode(arguments or "", type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None


class Reader(Struct, frozen=True, kw_only=True):
    """How the choices of one call are read: as structured output or not, inside a wrapper or not."""

    structured: Structured | None = None
    wrapped: bool = False

    def read(self, said: Said) -> tuple[Completion, tuple[str, ...]]:
        """The completion and what to warn of; raises `ProviderBadAnswer`."""
        if self.wrapped and said.text:
            said = replace(said, text=unwrap(said.text))
        return make_completion(said, self.structured)


def find_plain_result(answer: ChatAnswer) -> ChatResult | None:
    """The result of an answer that is one choice of text which came to its end, as nearly all are; None for any other.

    It equals what `Reader` and `join_choices` make of it without a schema.
    """
    choices = answer.choices
    if choices is None or len(choices) != 1:
        return None
    choice = choices[0]
    said = choice.message
    text = said.content
    if choice.finish_reason != "stop" or not isinstance(text, str) or said.tool_calls or said.function_call:
        return None
    if said.refusal or said.audio is not None or said.reasoning_content or said.reasoning:
        return None
    if choice.logprobs or said.annotations:
        return None
    model = answer.model
    return ChatResult(
        completion=Completion(text=text, finish_reason="stop"),
        usage=chat_usage(answer.usage),
        model=model if isinstance(model, str) and model else None,
    )


def join_choices(choices: list[tuple[Completion, tuple[str, ...]]], model: object, usage: Raw) -> ChatResult:
    """The result of a call: the first choice is the completion, the others are its alternatives."""
    completions = [completion for completion, _ in choices]
    first, others = completions[0], tuple(completions[1:])
    return ChatResult(
        completion=replace(first, alternatives=others) if others else first,
        usage=chat_usage(usage),
        model=model if isinstance(model, str) and model else None,
        warnings=tuple(dict.fromkeys(warning for _, warnings in choices for warning in warnings)),
    )
