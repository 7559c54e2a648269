"""The events of a streamed answer, declared for the description: `event: NAME`, and `data:` with one of these as a line of JSON."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from inferway.http.openapi.failures import ErrorEnvelope, Failure
from inferway.pipeline.answer import Answer
from inferway.types import FinishReason


class StartEvent(Struct, frozen=True, kw_only=True):
    """Who answers."""

    request_id: str
    provider: str
    model: str


class DeltaEvent(Struct, frozen=True, kw_only=True):
    """More text of the answer to the prompt with this index."""

    index: int
    text: str


class ReasoningDeltaEvent(Struct, frozen=True, kw_only=True):
    """More text of the model's reasoning."""

    index: int
    text: str


class ToolCallDeltaEvent(Struct, frozen=True, kw_only=True):
    """A piece of a tool call; `call` counts calls from 0, `arguments` is a fragment of JSON text, `id` and `name` come once."""

    index: int
    call: int
    arguments: str
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class ItemEvent(Struct, frozen=True, kw_only=True):
    """The prompt with this index is answered, or has failed."""

    index: int
    finish_reason: FinishReason | UnsetType | None = UNSET
    error: Failure | UnsetType = UNSET


EVENTS: dict[str, Any] = {
    "start": StartEvent,
    "delta": DeltaEvent,
    "reasoning_delta": ReasoningDeltaEvent,
    "tool_call_delta": ToolCallDeltaEvent,
    "item": ItemEvent,
    "done": Answer,
    "error": ErrorEnvelope,
}
"""The events by name; the last of a stream is `done` or `error`."""
