"""Provider-neutral values: what is asked, what is answered, what it used."""

import asyncio
import base64
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct


class Operation(StrEnum):
    """What a call does; it follows from its inputs."""

    CHAT = "chat"
    VISION = "vision"
    TEXT_EMBEDDING = "text_embedding"
    IMAGE_EMBEDDING = "image_embedding"
    VIDEO_EMBEDDING = "video_embedding"
    TRANSCRIPTION = "transcription"
    PLUGIN = "plugin"


class MediaKind(StrEnum):
    """What a piece of media is to a model."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"


class Media(Struct, frozen=True, kw_only=True):
    """One piece of media: a URL not fetched yet, or its content as base64 text or bytes, with the sniffed MIME type."""

    kind: MediaKind
    url: str | None = None
    base64: str | None = None
    data: bytes | None = None
    mime: str | None = None

    def as_base64(self) -> str:
        """The content as standard padded base64; ValueError when it is not loaded."""
        if self.base64 is not None:
            return self.base64
        return base64.b64encode(self.as_bytes()).decode("ascii")

    def as_bytes(self) -> bytes:
        """The content as bytes; ValueError when it is not loaded."""
        if self.data is not None:
            return self.data
        if self.base64 is None:
            raise ValueError("media is not loaded")
        return base64.b64decode(self.base64)


class TextPart(Struct, frozen=True, kw_only=True, tag="text"):
    """Plain text in a message."""

    text: str


class MediaPart(Struct, frozen=True, kw_only=True, tag="media"):
    """An image, a sound or a document in a message."""

    media: Media


Part = TextPart | MediaPart
Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call of a tool that the model asks for; `arguments` is the decoded object."""

    id: str
    name: str
    arguments: dict[str, Any]


class Reasoning(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a model's reasoning; `signature` is opaque provider state that must be sent back as it is."""

    text: str | None = None
    signature: str | None = None


class Message(Struct, frozen=True, kw_only=True):
    """One turn. `tool_call_id` is set on tool messages only; `tool_calls` and `reasoning` on assistant messages only."""

    role: Role
    content: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: tuple[Reasoning, ...] = ()
    tool_call_id: str | None = None

    def text(self) -> str:
        """All text parts joined by newlines."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class Tool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function the model may call; `parameters` is a JSON Schema object."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class NamedTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tool_choice`: this tool and no other."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


class Parameters(Struct, frozen=True, kw_only=True):
    """The common parameters of CONTRACT names; None (or empty) means not given.

    `extra` holds provider-native fields, merged into the provider's body unchanged. `unknown` holds names that are not common
    parameters: they are dropped and told, or refused under `strict`.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    schema: dict[str, Any] | bool | None = None
    system: str | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: ToolChoice | None = None
    reasoning_effort: str | None = None
    dimensions: int | None = None
    task_type: str | None = None
    language: str | None = None
    prompt: str | None = None
    response_format: str | None = None
    timeout_s: float | None = None
    hedge_after_ms: float | None = None
    strict: bool = False
    repair: bool = True
    extra: dict[str, Any] | None = None
    unknown: tuple[str, ...] = ()


NO_PARAMETERS = Parameters()
"""What most calls ask for."""


class ChatCall(Struct, frozen=True, kw_only=True):
    """One conversation. System messages come first in `messages` (role `system`), as the caller gave them.

    The caller counts the messages from the one at `counted_from`: a system text that was given apart stands before it.
    """

    messages: tuple[Message, ...]
    parameters: Parameters = NO_PARAMETERS
    stream: bool = False
    counted_from: int = 0

    def has_media(self) -> bool:
        """Whether any message carries media."""
        return any(isinstance(part, MediaPart) for message in self.messages for part in message.content)


class EmbeddingCall(Struct, frozen=True, kw_only=True):
    """Items to embed, each a text or a piece of media; one vector comes back for each, in order."""

    items: tuple[str | Media, ...]
    parameters: Parameters = NO_PARAMETERS


class TranscriptionCall(Struct, frozen=True, kw_only=True):
    """One recording to transcribe."""

    audio: Media
    parameters: Parameters = NO_PARAMETERS


Call = ChatCall | EmbeddingCall | TranscriptionCall


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """What one upstream call used, as disjoint meters.

    `input` excludes cached and cache-writing tokens, `output` excludes reasoning tokens; `audio_ms` is milliseconds of audio
    billed by time. `raw` is the provider's own usage object as JSON bytes. `source` says who counted.
    """

    input: int = 0
    cached_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_ms: int = 0
    images: int = 0
    vectors: int = 0
    characters: int = 0
    source: Literal["provider", "measured", "estimated", "none"] = "none"
    raw: bytes | None = None

    def __add__(self, other: "Usage") -> "Usage":
        totals = {name: getattr(self, name) + getattr(other, name) for name in METERS}
        return Usage(**totals, source=_weaker(self.source, other.source), raw=other.raw or self.raw)

    def tokens_used(self) -> dict[str, int] | None:
        """The contract's `tokens_used`: integers that add up (`prompt + completion = total`), or None when nobody counted."""
        if self.source == "none":
            return None
        prompt = self.input + self.cached_read + self.cache_write + self.audio_input
        completion = self.output + self.reasoning
        if not prompt and not completion and self.audio_ms:
            return None
        counts = {"prompt": prompt, "completion": completion, "total": prompt + completion}
        if not (self.reasoning or self.cached_read or self.cache_write or self.audio_input):
            return counts
        extras = {
            "reasoning": self.reasoning,
            "cached_prompt": self.cached_read,
            "cache_write": self.cache_write,
            "audio_prompt": self.audio_input,
        }
        return counts | {name: count for name, count in extras.items() if count}


METERS = (
    "input",
    "cached_read",
    "cache_write",
    "output",
    "reasoning",
    "audio_input",
    "audio_ms",
    "images",
    "vectors",
    "characters",
)
_STRENGTH = ("none", "estimated", "measured", "provider")


def _weaker(one: str, other: str) -> Any:
    """The less trustworthy of two sources; `none` (nothing counted yet) yields to the other."""
    if "none" in (one, other):
        return other if one == "none" else one
    return min(one, other, key=_STRENGTH.index)


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Adaptation(Struct, frozen=True, kw_only=True):
    """A change between what the caller gave and what the provider got. `lossy` ones are refused under `strict`."""

    field: str
    action: Literal["dropped", "clamped", "translated"]
    reason: str

    @property
    def lossy(self) -> bool:
        """Whether the caller's value did not reach the provider with its meaning."""
        return self.action != "translated"


class Structured(Struct, frozen=True, kw_only=True):
    """How a structured answer came about: the provider's own format, a forced tool, a grammar or a plain instruction."""

    method: Literal["native", "tool", "grammar", "json_mode", "prompt"]
    valid: bool
    repairs: int = 0


class Completion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of a chat model, in the shape of the contract's `data.completions[]`."""

    text: str
    finish_reason: FinishReason | None
    parsed: Any = msgspec.UNSET
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: tuple[Reasoning, ...] = ()
    refusal: str | None = None
    structured: Structured | None = None
    alternatives: tuple["Completion", ...] = ()
    error: dict[str, Any] | None = None


class ChatResult(Struct, frozen=True, kw_only=True):
    """A completion with what it used. `model` is the model the provider says it ran, if it says so."""

    completion: Completion
    usage: Usage = Usage()
    model: str | None = None
    warnings: tuple[str, ...] = ()


class EmbeddingResult(Struct, frozen=True, kw_only=True):
    """Vectors in the order of the items: each a JSON array as bytes (passed on unread) or a list of floats."""

    vectors: tuple[msgspec.Raw | list[float], ...]
    usage: Usage = Usage()
    model: str | None = None
    warnings: tuple[str, ...] = ()


class Segment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stretch of a transcript, in seconds from the start."""

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None


class Word(Struct, frozen=True, kw_only=True):
    """One word of a transcript, in seconds from the start."""

    start_s: float
    end_s: float
    word: str


class Transcript(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The contract's transcription `data`."""

    text: str
    language: str | None = None
    duration_s: float | None = None
    segments: tuple[Segment, ...] | None = None
    words: tuple[Word, ...] | None = None


class TranscriptionResult(Struct, frozen=True, kw_only=True):
    """A transcript with what it used."""

    transcript: Transcript
    usage: Usage = Usage()
    model: str | None = None
    warnings: tuple[str, ...] = ()


Result = ChatResult | EmbeddingResult | TranscriptionResult


class TextDelta(Struct, frozen=True, kw_only=True):
    """More text of the answer."""

    text: str


class ReasoningDelta(Struct, frozen=True, kw_only=True):
    """More text of the model's reasoning."""

    text: str


class ToolCallDelta(Struct, frozen=True, kw_only=True):
    """A fragment of a tool call; `call` counts calls from 0, `arguments` is a fragment of JSON text."""

    call: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


ChatEvent = TextDelta | ReasoningDelta | ToolCallDelta


TIMER_EARLY_S = 0.001
"""A timer of the loop may ring this much early, when the loop is busy."""


class Deadline(Struct, frozen=True):
    """A moment on a monotonic clock by which a whole call must be answered."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """The deadline that lies `timeout_s` seconds from now."""
        return cls(clock() + timeout_s, clock)

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        left_s = self.at - self.clock()
        return left_s if left_s > 0 else 0.0

    def limit(self) -> asyncio.Timeout:
        """An asyncio timeout that ends at this deadline."""
        return asyncio.timeout(self.remaining_s())


class Standing(Struct, frozen=True, kw_only=True):
    """How a caller stands with a limit: `remaining` calls would be let in at once, and all of `limit` from `reset_at` (unix time) on.

    `window_s` is the limit's window in seconds; 0 where calls at once are limited.
    """

    limit: int
    remaining: int
    reset_at: int
    window_s: int


class SpendCap(Struct, frozen=True, kw_only=True):
    """What something may spend in a UTC day and in a UTC month, in micro-dollars; None is no cap for that window."""

    resource: Literal["key", "namespace", "organization"]
    id: str
    organization_id: str
    daily_microusd: int | None = None
    monthly_microusd: int | None = None
