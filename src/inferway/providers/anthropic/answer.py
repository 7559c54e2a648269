"""The messages API's answers as typed values, and what they mean to the gateway."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from inferway.errors import ProviderBadAnswer
from inferway.providers.anthropic.blocks import REDACTED
from inferway.providers.anthropic.structured import Asked
from inferway.providers.anthropic.usage import read_usage
from inferway.providers.schema import unwrap
from inferway.providers.scrub import scrub
from inferway.types import ChatResult, Completion, FinishReason, Reasoning, Structured, ToolCall

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "compaction": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "refusal": "content_filter",
}
"""`stop_reason` → ours. A paused turn is an unfinished answer, which is told besides."""


class Text(Struct, frozen=True, kw_only=True):
    """A text block; citations are only counted."""

    text: str
    citations: list[Any] | None = None


class Thought(Struct, frozen=True, kw_only=True):
    """A thinking block; a model that does not show its thinking sends an empty text with a signature."""

    thinking: str
    signature: str = ""


class Redacted(Struct, frozen=True, kw_only=True):
    """Thinking that only the provider can read."""

    data: str


class Use(Struct, frozen=True, kw_only=True):
    """A tool call; `input` is its JSON text as it came."""

    id: str
    name: str
    input: Raw


class Other(Struct, frozen=True, kw_only=True):
    """A block of a type that has no place in our answer."""

    type: str


Block = Text | Thought | Redacted | Use | Other
_BLOCKS: dict[str, type[Text | Thought | Redacted | Use]] = {
    "text": Text,
    "thinking": Thought,
    "redacted_thinking": Redacted,
    "tool_use": Use,
}


class StopDetails(Struct, frozen=True, kw_only=True):
    """Why the provider declined."""

    explanation: str | None = None
    category: str | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """One whole message of the API, however it came."""

    blocks: tuple[Block, ...]
    stop_reason: str
    stop_details: StopDetails | None = None
    model: str | None = None
    usage: object = None


class _Message(Struct, frozen=True, kw_only=True):
    """The body of a whole answer."""

    content: list[Raw]
    stop_reason: str
    type: str | UnsetType = UNSET
    stop_details: StopDetails | None = None
    model: str | None = None
    usage: object = None


def read_answer(body: bytes) -> Answer:
    """The answer in a 2xx body; raises `ProviderBadAnswer` or a msgspec error when it is none."""
    message = msgspec.json.decode(body, type=_Message)
    if message.type not in ("message", UNSET):
        raise ProviderBadAnswer("The provider answered with something that is no message.")
    return Answer(
        blocks=tuple(read_block(raw) for raw in message.content),
        stop_reason=message.stop_reason,
        stop_details=message.stop_details,
        model=message.model,
        usage=message.usage,
    )


def read_block(raw: Raw) -> Block:
    """A content block by its type; raises a msgspec error when a known type lacks what it must have."""
    kind = msgspec.json.decode(raw, type=Other)
    known = _BLOCKS.get(kind.type)
    return kind if known is None else msgspec.json.decode(raw, type=known)


def to_result(answer: Answer, asked: Asked | None) -> ChatResult:
    """What an answer means. Raises `ProviderBadAnswer` for an unknown stop reason, a tool call whose input is no object, and a tool call
    that is announced and missing."""
    reader = _Reader(answer, asked)
    return ChatResult(
        completion=reader.completion(),
        usage=read_usage(answer.usage),
        model=answer.model or None,
        warnings=tuple(reader.warnings),
    )


class _Reader:
    """Reads one answer; collects what has to be told beside it."""

    def __init__(self, answer: Answer, asked: Asked | None) -> None:
        self._answer = answer
        self._asked = asked
        self._tool = asked.tool if asked is not None and asked.method == "tool" else None
        self.warnings: list[str] = []

    def completion(self) -> Completion:
        answer, asked = self._answer, self._asked
        finish = _finish(answer.stop_reason)
        answers = [use for use in self._uses() if use.name == self._tool]
        calls = self._calls([use for use in self._uses() if use.name != self._tool], finish)
        if finish == "tool_calls" and not calls:
            if not answers:
                raise ProviderBadAnswer("The provider announced a tool call and sent none.")
            finish = "stop"
        if finish != "length" and answers:
            _arguments(answers[0])
        text = self._text(answers)
        self._tell_what_is_left_out()
        return Completion(
            text=unwrap(text) if asked is not None and asked.wrapped else text,
            finish_reason=finish,
            tool_calls=calls,
            reasoning=tuple(
                _reasoning(block) for block in answer.blocks if isinstance(block, Thought | Redacted)
            ),
            refusal=_refusal(answer.stop_details) if finish == "content_filter" else None,
            structured=None if asked is None else Structured(method=asked.method, valid=False),
        )

    def _uses(self) -> list[Use]:
        return [block for block in self._answer.blocks if isinstance(block, Use)]

    def _text(self, answers: list[Use]) -> str:
        text = "".join(block.text for block in self._answer.blocks if isinstance(block, Text))
        if not answers:
            return text
        if text.strip():
            self.warnings.append("the model wrote text beside its structured answer; it was left out")
        if len(answers) > 1:
            self.warnings.append("the model gave several structured answers; the first one was taken")
        return bytes(answers[0].input).decode()

    def _calls(self, uses: list[Use], finish: FinishReason) -> tuple[ToolCall, ...]:
        blocks = self._answer.blocks
        if finish == "length" and uses and uses[-1] is blocks[-1]:
            self.warnings.append("a tool call was cut off by the token limit; it was left out")
            uses = uses[:-1]
        return tuple(ToolCall(id=use.id, name=use.name, arguments=_arguments(use)) for use in uses)

    def _tell_what_is_left_out(self) -> None:
        if self._answer.stop_reason == "pause_turn":
            self.warnings.append("the provider paused this turn: the answer is unfinished")
        blocks = self._answer.blocks
        kinds = [isinstance(block, Thought | Redacted) for block in blocks if not isinstance(block, Other)]
        if kinds != sorted(kinds, reverse=True):
            self.warnings.append("the model thought again within its answer; where it did is not kept")
        citations = sum(len(block.citations or ()) for block in blocks if isinstance(block, Text))
        if citations:
            self.warnings.append(f"citations were left out: {citations}")
        for kind in dict.fromkeys(block.type for block in blocks if isinstance(block, Other)):
            self.warnings.append(f"content of type {scrub(kind)[:64]} was left out")


def _finish(stop_reason: str) -> FinishReason:
    finish = FINISH_REASONS.get(stop_reason)
    if finish is None:
        raise ProviderBadAnswer("The provider ended its answer for an unknown reason.")
    return finish


def _arguments(use: Use) -> dict[str, Any]:
    return msgspec.json.decode(use.input, type=dict[str, Any])


def _reasoning(block: Thought | Redacted) -> Reasoning:
    if isinstance(block, Redacted):
        return Reasoning(signature=REDACTED + block.data)
    return Reasoning(text=block.thinking or None, signature=block.signature or None)


def _refusal(details: StopDetails | None) -> str | None:
    if details is None:
        return None
    return details.explanation or (f"declined: {details.category}" if details.category else None)
