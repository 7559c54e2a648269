"""Reads Gemini's stream: chunks without names, cumulative counts, no end marker but a finish reason."""

from typing import Any

import msgspec
from msgspec.structs import replace

from inferway.errors import ProviderBadAnswer, UpstreamError
from inferway.providers.google.answers import GenerateAnswer, read_chunks
from inferway.providers.google.collect import Collector
from inferway.providers.google.errors import classify_body
from inferway.providers.google.signatures import move_to_end
from inferway.providers.google.structured import Asked
from inferway.providers.schema import StreamUnwrapper, unwrap
from inferway.types import ChatEvent, ChatResult, Completion, Structured, TextDelta, Usage


class ChatDecoder:
    """Decodes one stream. An event holds one chunk, or an array of them where the stream was not asked for as events."""

    def __init__(self, asked: Asked | None) -> None:
        self._asked = asked
        self._collector = Collector()
        self._unwrapper = StreamUnwrapper() if asked is not None and asked.wrapped else None

    @property
    def ended(self) -> bool:
        """Never: there is no end marker, and the last usage may come behind a finish reason."""
        return False

    @property
    def usage(self) -> Usage:
        """The counts of the last chunk."""
        return self._collector.usage

    def on_event(self, name: str, data: bytes) -> list[ChatEvent]:
        """What a chunk adds; raises `UpstreamError` for an error in the stream."""
        del name  # The wire has no names.
        events: list[ChatEvent] = []
        for chunk in read_chunks(data):
            raise_error(chunk)
            events += self._collector.add(chunk)
        return events if self._unwrapper is None else self._unwrapped(events, self._unwrapper)

    def finish(self) -> ChatResult:
        """The whole answer; raises `ProviderBadAnswer` when no finish reason came."""
        return shaped(self._collector.result(), self._asked)

    def _unwrapped(self, events: list[ChatEvent], unwrapper: StreamUnwrapper) -> list[ChatEvent]:
        fed: list[ChatEvent] = [
            TextDelta(text=unwrapper.feed(event.text)) if isinstance(event, TextDelta) else event
            for event in events
        ]
        if self._collector.ended:
            fed.append(TextDelta(text=unwrapper.finish()))
        return [event for event in fed if not isinstance(event, TextDelta) or event.text]


def shaped(result: ChatResult, asked: Asked | None) -> ChatResult:
    """The result with the wrapper of a schema taken off, and how the schema was asked for, in its alternatives too."""
    if asked is None:
        return result
    completion = _shaped(result.completion, asked)
    others = tuple(_shaped(other, asked) for other in completion.alternatives)
    return replace(result, completion=replace(completion, alternatives=others))


def _shaped(completion: Completion, asked: Asked) -> Completion:
    if asked.wrapped:
        text = unwrap(completion.text)
        completion = replace(completion, text=text, reasoning=move_to_end(completion.reasoning, len(text)))
    return replace(completion, structured=Structured(method=asked.method, valid=False))


def raise_error(chunk: GenerateAnswer) -> None:
    """Raise the error that a body holds where an answer should be."""
    body = bytes(chunk.error)
    if body in (b"", b"null"):
        return
    error: Any = msgspec.json.decode(body)
    if not isinstance(error, dict):
        raise ProviderBadAnswer("The provider's stream holds an error that cannot be read.")
    failure: UpstreamError = classify_body(None, {"error": error})
    raise failure
