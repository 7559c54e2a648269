"""Puts a completion together from the chunks of an answer; a whole answer is one chunk, so that both ways end alike."""

from typing import Any

import msgspec

from inferway.errors import ProviderBadAnswer, ProviderRefused
from inferway.providers.google.answers import AnswerPart, Candidate, FunctionCall, GenerateAnswer
from inferway.providers.google.signatures import make_call_id, sign_call, sign_text, sign_thought
from inferway.providers.google.usage import read_usage
from inferway.types import (
    ChatEvent,
    ChatResult,
    Completion,
    FinishReason,
    Reasoning,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "ESCALATION",
            "PUP_LIMITED_DISABLED",
            "MODEL_ARMOR",
        ),
        "content_filter",
    ),
}
"""Why a candidate ended, where the contract has a word for it. Source: Gemini API and Vertex AI references, FinishReason."""

BROKEN = frozenset(
    {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
)
"""Ends that leave nothing usable behind."""

_UNSIGNED = "MISSING_THOUGHT_SIGNATURE"
_BY_NUMBER = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""The numbers on which the enums of the Gemini API and of Vertex AI agree."""

_UNCARRIED = {
    "citation_metadata": "citationMetadata",
    "grounding_metadata": "groundingMetadata",
    "logprobs_result": "logprobsResult",
    "url_context_metadata": "urlContextMetadata",
}
_UNSPECIFIED = ("", "0", "FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")


class _Answer:
    """One candidate while it grows."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.length = 0
        self.calls: list[ToolCall] = []
        self.reasoning: list[Reasoning] = []
        self.finish: str | None = None
        self.parts = 0
        self.warnings: dict[str, None] = {}

    def add(self, candidate: Candidate) -> list[ChatEvent]:
        """Take in a chunk's share of this candidate, and say what is new."""
        finish = _word(candidate.finish_reason, _BY_NUMBER)
        if finish is not None:
            self.finish = finish
        for name, wire in _UNCARRIED.items():
            if getattr(candidate, name):
                self.warnings[f"google's {wire} has no place in this answer and was left away"] = None
        parts = candidate.content.parts if candidate.content else None
        return [event for part in parts or () for event in self._part(part)]

    def _part(self, part: AnswerPart) -> list[ChatEvent]:
        if part.function_call is not None:
            self.parts += 1
            return [self._call(part.function_call, part.thought_signature)]
        text = part.text
        if isinstance(text, str):
            self.parts += 1
            grow = self._thought if part.thought else self._text
            return grow(text, part.thought_signature)
        if part.audio_transcription is not None:
            self.parts += 1
            heard = part.audio_transcription.text or ""
            return self._text(f" {heard}" if self.length and heard else heard, part.thought_signature)
        foreign = part.find_foreign()
        if foreign is not None:
            self.parts += 1
            self.warnings[f"google's answer holds {foreign}, which this answer cannot carry"] = None
        elif part.thought_signature:
            return self._text("", part.thought_signature)
        else:
            raise ProviderBadAnswer("The provider's answer holds a part without content.")
        return []

    def _text(self, text: str, signature: str | None) -> list[ChatEvent]:
        if signature:
            self.reasoning.append(Reasoning(signature=sign_text(self.length, len(text), signature)))
        self.pieces.append(text)
        self.length += len(text)
        return [TextDelta(text=text)] if text else []

    def _thought(self, text: str, signature: str | None) -> list[ChatEvent]:
        last = self.reasoning[-1] if self.reasoning else None
        if signature:
            self.reasoning.append(Reasoning(text=text or None, signature=sign_thought(signature)))
        elif last is not None and last.text and last.signature is None:
            self.reasoning[-1] = Reasoning(text=last.text + text)
        elif text:
            self.reasoning.append(Reasoning(text=text))
        return [ReasoningDelta(text=text)] if text else []

    def _call(self, call: FunctionCall, signature: str | None) -> ChatEvent:
        if call.partial_args or call.will_continue:
            raise ProviderBadAnswer(
                "The provider's answer holds function arguments in pieces, which was not asked for."
            )
        index = len(self.calls)
        if signature:
            self.reasoning.append(Reasoning(signature=sign_call(index, self.length, signature)))
        made = ToolCall(id=call.id or make_call_id(index), name=call.name, arguments=call.args or {})
        self.calls.append(made)
        arguments = msgspec.json.encode(made.arguments).decode()
        return ToolCallDelta(call=index, id=made.id, name=made.name, arguments=arguments)

    def finished(self) -> Completion:
        """The completion; raises when the candidate did not end, or ended with nothing usable."""
        return Completion(
            text="".join(self.pieces),
            finish_reason=self._finish_reason(),
            tool_calls=tuple(self.calls),
            reasoning=tuple(self.reasoning),
        )

    def _finish_reason(self) -> FinishReason:
        if self.finish is None:
            raise ProviderBadAnswer("The provider's answer ended before it was complete.")
        if self.finish in BROKEN:
            raise ProviderBadAnswer(f"The provider's model failed to write its answer ({self.finish}).")
        if self.finish == _UNSIGNED:
            raise ProviderRefused(
                "The provider misses a thought signature: send the reasoning of earlier answers back as it came.",
                details={"provider_error": {"code": self.finish}},
            )
        if self.finish == "CONTINUATION":
            self.warnings["google cut the answer at its limit for one request (CONTINUATION)"] = None
        reason = FINISH.get(self.finish)
        if reason is None or reason == "stop":
            if not self.parts:
                raise ProviderBadAnswer("The provider's answer holds no content.")
            if reason is None:
                self.warnings[f"google ended the answer for a reason of its own ({_shown(self.finish)})"] = (
                    None
                )
            return "tool_calls" if self.calls else "stop"
        return reason


class Collector:
    """Takes in chunks of one answer and ends with the result. Candidate 0 is the answer, the others are its alternatives."""

    def __init__(self) -> None:
        self._answers: dict[int, _Answer] = {}
        self.usage = Usage()
        self._model: str | None = None
        self._blocked: str | None = None

    @property
    def ended(self) -> bool:
        """Whether candidate 0 has said why it ended."""
        return 0 in self._answers and self._answers[0].finish is not None

    def add(self, chunk: GenerateAnswer) -> list[ChatEvent]:
        """Take in a chunk and return what is new in candidate 0. Counts are cumulative, so that the last ones stand."""
        usage = read_usage(chunk.usage_metadata)
        if usage.raw is not None:
            self.usage = usage
        self._model = chunk.find_model() or self._model
        if chunk.prompt_feedback is not None:
            self._blocked = _word(chunk.prompt_feedback.block_reason, {}) or self._blocked
        events: list[ChatEvent] = []
        for position, candidate in enumerate(chunk.candidates or ()):
            index = position if candidate.index is None else candidate.index
            new = self._answers.setdefault(index, _Answer()).add(candidate)
            if index == 0:
                events = events + new
        return events

    def result(self) -> ChatResult:
        """The whole answer.

        A blocked prompt is a completion without text that ended by `content_filter`. Raises `ProviderBadAnswer` for an answer that did not
        end or holds nothing.
        """
        if not self._answers:
            return self._blocked_result()
        completions = [(index, answer.finished()) for index, answer in sorted(self._answers.items())]
        first, others = completions[0], completions[1:]
        if first[0] != 0:
            raise ProviderBadAnswer("The provider's answer lacks its first candidate.")
        warnings = dict[str, None]()
        for answer in self._answers.values():
            warnings |= answer.warnings
        completion = msgspec.structs.replace(first[1], alternatives=tuple(other for _, other in others))
        return ChatResult(
            completion=completion, usage=self.usage, model=self._model, warnings=tuple(warnings)
        )

    def _blocked_result(self) -> ChatResult:
        if self._blocked is None:
            raise ProviderBadAnswer("The provider's answer holds no candidates.")
        return ChatResult(
            completion=Completion(text="", finish_reason="content_filter"),
            usage=self.usage,
            model=self._model,
            warnings=(f"google blocked the prompt ({_shown(self._blocked)})",),
        )


def _word(value: Any, names: dict[int, str]) -> str | None:
    """An enum's name, also when it came as a number; None when it says nothing."""
    word = names.get(value, str(value)) if isinstance(value, int) else value
    return None if word is None or word in _UNSPECIFIED else word


def _shown(word: str) -> str:
    """An enum's name fit to be shown: a stranger wrote it."""
    return word if len(word) <= 40 and word.replace("_", "").isalnum() and word.isascii() else "unknown"
