"""Answering with what an earlier call with the same Idempotency-Key was answered with."""

from collections.abc import Iterator
from typing import Any

import msgspec

from inferway.http.render import Header, encode
from inferway.http.stream import EventStream
from inferway.pipeline.once import Kept
from inferway.providers.base import Target
from inferway.types import ChatEvent, ReasoningDelta, TextDelta, ToolCallDelta

REPLAYED: Header = (b"idempotency-replayed", b"true")


class _Told(msgspec.Struct, frozen=True):
    """What a stream needs of an answer's JSON."""

    request_id: str
    data: dict[str, Any]


def first_request_id(kept: Kept) -> str:
    """The request id of the call that was really made."""
    return msgspec.json.decode(kept.body, type=_Told).request_id


async def stream_again(stream: EventStream, kept: Kept) -> None:
    """Sends a whole streamed answer, each completion in one piece, and ends with the event that ended the first stream."""
    target = Target(provider=kept.provider, model=kept.model)
    told = msgspec.json.decode(kept.body, type=_Told)
    for index, completion in enumerate(told.data.get("completions", ())):
        if "error" in completion:
            await stream.failed(index, completion["error"])
            continue
        for event in _events(completion):
            await stream.delta(index, target, event)
        await stream.item(index, target, completion["finish_reason"])
    await stream.done_with(kept.body, kept.provider, kept.model)


def _events(completion: dict[str, Any]) -> Iterator[ChatEvent]:
    for step in completion.get("reasoning", ()):
        if step.get("text"):
            yield ReasoningDelta(text=step["text"])
    if completion["text"]:
        yield TextDelta(text=completion["text"])
    for index, call in enumerate(completion.get("tool_calls", ())):
        arguments = encode(call["arguments"]).decode()
        yield ToolCallDelta(call=index, id=call["id"], name=call["name"], arguments=arguments)
