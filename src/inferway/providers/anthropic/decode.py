"""Reads the messages API's event stream."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from inferway.errors import ProviderBadAnswer
from inferway.providers.anthropic.answer import (
    Answer,
    Block,
    Other,
    StopDetails,
    Text,
    Thought,
    Use,
    read_block,
    to_result,
)
from inferway.providers.anthropic.errors import AnthropicErrors
from inferway.providers.anthropic.structured import Asked
from inferway.providers.anthropic.usage import read_usage
from inferway.providers.schema import StreamUnwrapper
from inferway.types import ChatEvent, ChatResult, ReasoningDelta, TextDelta, ToolCallDelta, Usage


class _Kind(Struct, frozen=True, kw_only=True):
    type: str | UnsetType = UNSET


class _Started(Struct, frozen=True, kw_only=True):
    """The message of `message_start`; its usage and model are early figures of the whole."""

    content: list[Raw] | None = None
    model: str | None = None
    usage: object = None


class _MessageStart(Struct, frozen=True, kw_only=True):
    message: _Started


class _BlockStart(Struct, frozen=True, kw_only=True):
    index: int
    content_block: Raw


class _BlockDelta(Struct, frozen=True, kw_only=True):
    index: int
    delta: Raw


class _BlockStop(Struct, frozen=True, kw_only=True):
    index: int


class _TextPiece(Struct, frozen=True, kw_only=True):
    text: str


class _ThinkingPiece(Struct, frozen=True, kw_only=True):
    thinking: str


class _SignaturePiece(Struct, frozen=True, kw_only=True):
    signature: str


class _InputPiece(Struct, frozen=True, kw_only=True):
    partial_json: str


class _Stop(Struct, frozen=True, kw_only=True):
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class _MessageDelta(Struct, frozen=True, kw_only=True):
    delta: _Stop
    usage: object = None


class _Open:
    """A block that is still being written."""

    def __init__(self, start: Block, call: int | None) -> None:
        self.start = start
        self.call = call
        self.pieces: list[str] = []
        self.signature = ""
        self.citations = 0
        self.stopped = False

    def block(self) -> Block:
        """The block as a whole answer would hold it."""
        text = "".join(self.pieces)
        start = self.start
        if isinstance(start, Text):
            return Text(
                text=start.text + text, citations=[*(start.citations or ()), *([None] * self.citations)]
            )
        if isinstance(start, Thought):
            return Thought(thinking=start.thinking + text, signature=self.signature or start.signature)
        if isinstance(start, Use):
            return Use(id=start.id, name=start.name, input=Raw(text.encode()) if text else start.input)
        return start


class MessageStream:
    """Decodes the named events of one streamed message. Source: Anthropic API guide, streaming messages.

    Unknown events are ignored, as the API asks for; a known event that cannot be read, or comes out of order, is a bad answer.
    """

    def __init__(self, asked: Asked | None, errors: AnthropicErrors) -> None:
        self._errors = errors
        self._asked = asked
        self._tool = asked.tool if asked is not None and asked.method == "tool" else None
        self._unwrapper = StreamUnwrapper() if asked is not None and asked.wrapped else None
        self._blocks: list[_Open] = []
        self._unknown: list[Other] = []
        self._calls = 0
        self._answer_block: _Open | None = None
        self._started: _Started | None = None
        self._usage: dict[str, Any] | None = None
        self._stop = _Stop()
        self._complete = False
        self._handlers: dict[str, Callable[[bytes], list[ChatEvent]]] = {
            "message_start": self._on_start,
            "content_block_start": self._on_block_start,
            "content_block_delta": self._on_block_delta,
            "content_block_stop": self._on_block_stop,
            "message_delta": self._on_delta,
            "message_stop": self._on_stop,
            "error": self._on_error,
        }

    @property
    def ended(self) -> bool:
        """Whether `message_stop` was seen."""
        return self._complete

    @property
    def usage(self) -> Usage:
        """The counts of `message_start`, and of `message_delta` once it came."""
        return read_usage(self._usage)

    def on_event(self, name: str, data: bytes) -> list[ChatEvent]:
        """What one event means. Raises the error that an `error` event tells."""
        if self._complete:
            return []
        given = msgspec.json.decode(data, type=_Kind).type
        kind = name if isinstance(given, UnsetType) else given
        handler = self._handlers.get(kind)
        if name and kind != name and (name in self._handlers or handler is not None):
            raise ProviderBadAnswer("The provider sent an event whose name and type differ.")
        if handler is None:
            return []
        if self._started is None and kind not in ("message_start", "error"):
            raise ProviderBadAnswer("The provider's stream does not begin with a message.")
        return handler(data)

    def finish(self) -> ChatResult:
        """The whole answer; raises `ProviderBadAnswer` unless the stream came to its own end."""
        if not self._complete or self._started is None:
            raise ProviderBadAnswer("The provider's stream ended before its answer did.")
        if self._stop.stop_reason is None:
            raise ProviderBadAnswer("The provider's stream does not say how the answer ended.")
        answer = Answer(
            blocks=(*self._unknown, *(block.block() for block in self._blocks)),
            stop_reason=self._stop.stop_reason,
            stop_details=self._stop.stop_details,
            model=self._started.model,
            usage=self._usage,
        )
        return to_result(answer, self._asked)

    def _on_start(self, data: bytes) -> list[ChatEvent]:
        if self._started is not None:
            raise ProviderBadAnswer("The provider's stream holds two messages.")
        self._started = msgspec.json.decode(data, type=_MessageStart).message
        if self._started.content:
            raise ProviderBadAnswer("The provider's stream begins with content outside of a block.")
        self._count(self._started.usage)
        return []

    def _on_block_start(self, data: bytes) -> list[ChatEvent]:
        event = msgspec.json.decode(data, type=_BlockStart)
        if event.index != len(self._blocks):
            raise ProviderBadAnswer("The provider's stream has its content blocks out of order.")
        start = read_block(event.content_block)
        if not isinstance(start, Use) or start.name == self._tool:
            self._blocks.append(_Open(start, None))
            return self._first_piece(self._blocks[-1])
        block = _Open(start, self._calls)
        self._blocks.append(block)
        self._calls += 1
        first = _take_given_input(block, start)
        return [ToolCallDelta(call=self._calls - 1, id=start.id, name=start.name, arguments=first)]

    def _first_piece(self, block: _Open) -> list[ChatEvent]:
        """The content that a block brings with it, which is none with the provider itself and may be all with a server like it."""
        start = block.start
        if isinstance(start, Use):
            self._answer_block = self._answer_block or block
            return self._answer_text(block, _take_given_input(block, start))
        if isinstance(start, Text):
            return self._plain_text(start.text)
        return [ReasoningDelta(text=start.thinking)] if isinstance(start, Thought) and start.thinking else []

    def _on_block_delta(self, data: bytes) -> list[ChatEvent]:
        event = msgspec.json.decode(data, type=_BlockDelta)
        block = self._block(event.index)
        kind = msgspec.json.decode(event.delta, type=Other).type
        start = block.start
        if kind == "text_delta" and isinstance(start, Text):
            block.pieces.append(msgspec.json.decode(event.delta, type=_TextPiece).text)
            return self._plain_text(block.pieces[-1])
        if kind == "thinking_delta" and isinstance(start, Thought):
            block.pieces.append(msgspec.json.decode(event.delta, type=_ThinkingPiece).thinking)
            return [ReasoningDelta(text=block.pieces[-1])] if block.pieces[-1] else []
        if kind == "input_json_delta" and isinstance(start, Use):
            block.pieces.append(msgspec.json.decode(event.delta, type=_InputPiece).partial_json)
            return self._input(block, block.pieces[-1])
        self._on_silent_delta(kind, block, event.delta)
        return []

    def _on_silent_delta(self, kind: str, block: _Open, delta: Raw) -> None:
        """A delta that the caller hears of at the end only."""
        start = block.start
        if kind == "signature_delta" and isinstance(start, Thought):
            block.signature = msgspec.json.decode(delta, type=_SignaturePiece).signature
        elif kind == "citations_delta" and isinstance(start, Text):
            block.citations += 1
        elif kind in _DELTAS and not isinstance(start, Other):
            raise ProviderBadAnswer("The provider's stream adds to a content block what it cannot hold.")
        elif kind not in _DELTAS:
            self._unknown.append(Other(type=kind))

    def _on_block_stop(self, data: bytes) -> list[ChatEvent]:
        block = self._block(msgspec.json.decode(data, type=_BlockStop).index)
        block.stopped = True
        if not isinstance(block.start, Use) or any(block.pieces):
            return []
        # A call without arguments comes without fragments; told as the object that it is.
        return self._input(block, bytes(block.start.input).decode())

    def _on_delta(self, data: bytes) -> list[ChatEvent]:
        event = msgspec.json.decode(data, type=_MessageDelta)
        if event.delta.stop_reason is not None:
            self._stop = event.delta
        self._count(event.usage)
        return []

    def _on_stop(self, _data: bytes) -> list[ChatEvent]:
        self._complete = True
        events: list[ChatEvent] = []
        if self._tool is not None and self._answer_block is None:
            # The model wrote text instead of calling the answering tool: that text is its answer.
            events += self._text("".join(piece for block in self._blocks for piece in _texts(block)))
        rest = self._unwrapper.finish() if self._unwrapper is not None else ""
        return [*events, TextDelta(text=rest)] if rest else events

    def _on_error(self, data: bytes) -> list[ChatEvent]:
        raise self._errors.in_stream(data)

    def _block(self, index: int) -> _Open:
        if not 0 <= index < len(self._blocks) or self._blocks[index].stopped:
            raise ProviderBadAnswer("The provider's stream adds to a content block that is not open.")
        return self._blocks[index]

    def _input(self, block: _Open, piece: str) -> list[ChatEvent]:
        if block.call is None:
            return self._answer_text(block, piece)
        return [ToolCallDelta(call=block.call, arguments=piece)] if piece else []

    def _answer_text(self, block: _Open, piece: str) -> list[ChatEvent]:
        return self._text(piece) if block is self._answer_block else []

    def _plain_text(self, piece: str) -> list[ChatEvent]:
        """Text of the answer; held back while an answering tool may still be called, because then it is no part of the answer."""
        return [] if self._tool is not None else self._text(piece)

    def _text(self, piece: str) -> list[ChatEvent]:
        if self._unwrapper is not None:
            piece = self._unwrapper.feed(piece)
        return [TextDelta(text=piece)] if piece else []

    def _count(self, usage: object) -> None:
        """Take over later figures: they are totals, and those left out keep their earlier value."""
        if isinstance(usage, dict):
            known = self._usage or {}
            self._usage = known | {k: v for k, v in usage.items() if v is not None or k not in known}


def _take_given_input(block: _Open, start: Use) -> str:
    """The input that a tool call begins with, where it is more than the usual empty placeholder."""
    given = msgspec.json.decode(start.input)
    if given in ({}, None, ""):
        return ""
    if not isinstance(given, dict):
        raise ProviderBadAnswer("The provider's tool call has an input that is no object.")
    text = bytes(start.input).decode()
    block.pieces.append(text)
    return text


def _texts(block: _Open) -> list[str]:
    return [block.start.text, *block.pieces] if isinstance(block.start, Text) else []


_DELTAS = frozenset(
    ("text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta")
)
