"""Reads a stream of chat completion chunks. Source: OpenAI API reference, chat completions, streaming."""

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from inferway.errors import ProviderBadAnswer
from inferway.providers.openai.answers import (
    ContentPart,
    Reader,
    Said,
    Uncarried,
    count_annotations,
    has_logprobs,
    is_given,
    join_choices,
    left_out,
    make_call_id,
    read_content,
    reasoning_text,
)
from inferway.providers.openai.errors import answer_error
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.usage import chat_usage
from inferway.providers.schema import StreamUnwrapper
from inferway.types import ChatEvent, ChatResult, ReasoningDelta, TextDelta, ToolCallDelta, Usage

_DONE = b"[DONE]"
_PING = "ping"
"""How servers that give their events names call one that only keeps the connection busy."""


class _FunctionDelta(Struct, frozen=True, kw_only=True):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _CallDelta(Struct, frozen=True, kw_only=True):
    index: int | None = None
    id: str | None = None
    function: _FunctionDelta | None = None


class _AudioDelta(Struct, frozen=True, kw_only=True):
    transcript: str | None = None


class _Delta(Struct, frozen=True, kw_only=True):
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None
    function_call: _FunctionDelta | None = None
    audio: _AudioDelta | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    annotations: Uncarried = None


class _Choice(Struct, frozen=True, kw_only=True):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Uncarried = None


class _Chunk(Struct, frozen=True, kw_only=True):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: Raw = field(default_factory=Raw)
    error: Raw = field(default_factory=Raw)


class _Call:
    """A tool call whose fragments are being collected."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class _Collected:
    """One choice of a stream so far."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self._texts: list[str] | None = None
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[_Call] = []
        self._places: dict[int, int] = {}
        self._completed = 0
        self._spoken = False
        self._logprobs = False
        self._annotations = 0

    def add(self, choice: _Choice) -> list[ChatEvent]:
        """What this piece says, as events."""
        self.finish = choice.finish_reason or self.finish
        delta = choice.delta
        if delta is None and choice.finish_reason is None:
            raise ProviderBadAnswer("A piece of the stream says nothing.")
        self._logprobs = self._logprobs or has_logprobs(choice.logprobs)
        events = [] if delta is None else self._add_delta(delta)
        return events + self._complete_calls() if choice.finish_reason else events

    def _add_delta(self, delta: _Delta) -> list[ChatEvent]:
        text, thoughts = read_content(delta.content)
        if delta.audio is not None and delta.audio.transcript is not None:
            self._spoken = True
            text = (text or "") + delta.audio.transcript
        thoughts += reasoning_text(delta.reasoning_content) or reasoning_text(delta.reasoning)
        self._annotations += count_annotations(delta.annotations)
        if delta.refusal:
            self._refusals.append(delta.refusal)
        return [*self._add_thoughts(thoughts), *self._add_text(text), *self._add_calls(delta)]

    def said(self) -> Said:
        """The whole choice."""
        return Said(
            finish=self.finish,
            text=None if self._texts is None else "".join(self._texts),
            refusal="".join(self._refusals) or None,
            reasoning="".join(self._thoughts),
            tool_calls=tuple((call.id, call.name, "".join(call.arguments)) for call in self._named_calls()),
            warnings=left_out(spoken=self._spoken, logprobs=self._logprobs, annotations=self._annotations),
        )

    def _add_text(self, text: str | None) -> list[ChatEvent]:
        if text is None:
            return []
        self._texts = self._texts if self._texts is not None else []
        self._texts.append(text)
        return [TextDelta(text=text)] if text else []

    def _add_thoughts(self, thoughts: str) -> list[ChatEvent]:
        if not thoughts:
            return []
        self._thoughts.append(thoughts)
        return [ReasoningDelta(text=thoughts)]

    def _add_calls(self, delta: _Delta) -> list[ChatEvent]:
        events = [self._add_call(call) for call in delta.tool_calls or ()]
        if delta.function_call is not None:
            events.append(self._add_call(_CallDelta(index=0, function=delta.function_call)))
        return events

    def _add_call(self, delta: _CallDelta) -> ChatEvent:
        place = self._place(delta)
        call = self._calls[place]
        name, arguments = _fragment(delta)
        call.id = call.id or delta.id or ""
        call.name += name
        call.arguments.append(arguments)
        return ToolCallDelta(call=place, id=delta.id or None, name=name or None, arguments=arguments)

    def _complete_calls(self) -> list[ChatEvent]:
        """What the server left away of its calls and the whole answer has: ids, and the object of no arguments."""
        told: list[ChatEvent] = []
        for place in range(self._completed, len(self._calls)):
            call = self._calls[place]
            made_id = None if call.id else make_call_id(place)
            arguments = "" if any(map(str.strip, call.arguments)) else "{}"
            if made_id or arguments:
                call.id = call.id or make_call_id(place)
                call.arguments.append(arguments)
                told.append(ToolCallDelta(call=place, id=made_id, arguments=arguments))
        self._completed = len(self._calls)
        return told

    def _place(self, delta: _CallDelta) -> int:
        """Which call a fragment belongs to; another id begins another call, for servers that number all of them alike or none."""
        last = len(self._calls) - 1
        place = last if delta.index is None else self._places.get(delta.index, -1)
        if place >= 0:
            call = self._calls[place]
            if not (delta.id and call.id and delta.id != call.id):
                return place
        self._calls.append(_Call())
        if delta.index is not None:
            self._places[delta.index] = last + 1
        return last + 1

    def _named_calls(self) -> list[_Call]:
        if any(not call.name for call in self._calls):
            raise ProviderBadAnswer("The answer has a tool call that names no function.")
        return self._calls


class ChatDecoder:
    """Collects a stream. Implements `StreamDecoder`: only the first choice is told as it comes, others become alternatives."""

    def __init__(self, subject: str, reader: Reader, quirks: Quirks) -> None:
        self._subject = subject
        self._reader = reader
        self._marker_needed = quirks.done_marker
        self._unwrapper = StreamUnwrapper() if reader.wrapped else None
        self._choices: dict[int, _Collected] = {}
        self._usage = Raw()
        self._model: object = None
        self._done = False

    @property
    def ended(self) -> bool:
        """Whether `[DONE]` was seen."""
        return self._done

    @property
    def usage(self) -> Usage:
        """The counts of the last event but the end marker, which few servers send earlier."""
        return chat_usage(self._usage)

    def on_event(self, name: str, data: bytes) -> list[ChatEvent]:
        """What one event means; raises the provider's error when it is one."""
        if self._done or name == _PING:
            return []
        if data.strip() == _DONE:
            self._done = True
            return self._unwrapped([], last=True)
        chunk = msgspec.json.decode(data, type=_Chunk)
        if name == "error" or is_given(chunk.error):
            raise answer_error(self._subject, data)
        self._model = self._model or chunk.model
        if is_given(chunk.usage):
            self._usage = chunk.usage
        if chunk.choices is None:
            if not is_given(chunk.usage):
                raise ProviderBadAnswer("A piece of the stream holds no choices.")
            return []
        return [event for choice in chunk.choices for event in self._add(choice)]

    def finish(self) -> ChatResult:
        """The whole result; raises `ProviderBadAnswer` when the stream was cut."""
        if self._marker_needed and not self._done:
            raise ProviderBadAnswer("The provider's stream ended before its end marker.")
        if not self._choices:
            raise ProviderBadAnswer("The answer holds no choices.")
        made = [self._reader.read(choice.said()) for _, choice in sorted(self._choices.items())]
        return join_choices(made, self._model, self._usage)

    def _add(self, choice: _Choice) -> list[ChatEvent]:
        collected = self._choices.setdefault(choice.index, _Collected())
        events = collected.add(choice)
        # Where no marker ends the stream, the reason is the last that is said.
        last = bool(choice.finish_reason) and not self._marker_needed
        return self._unwrapped(events, last=last) if choice.index == 0 else []

    def _unwrapped(self, events: list[ChatEvent], *, last: bool) -> list[ChatEvent]:
        """The events with the wrapper of structured output taken off their text."""
        unwrapper = self._unwrapper
        if unwrapper is None:
            return events
        unwrapped: list[ChatEvent] = []
        for event in events:
            if not isinstance(event, TextDelta):
                unwrapped.append(event)
            elif text := unwrapper.feed(event.text):
                unwrapped.append(TextDelta(text=text))
        if last and (text := unwrapper.finish()):
            unwrapped.append(TextDelta(text=text))
        return unwrapped


def _fragment(delta: _CallDelta) -> tuple[str, str]:
    """A fragment's part of the name and of the arguments' JSON text."""
    function = delta.function or _FunctionDelta()
    arguments = function.arguments
    if isinstance(arguments, dict):
        arguments = msgspec.json.encode(arguments).decode()
    return function.name or "", arguments or ""
