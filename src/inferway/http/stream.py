"""A streamed answer: events of the pipeline as server-sent events."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from inferway.errors import GatewayError
from inferway.http.render import Header, encode, envelope, server_timing, standing_headers
from inferway.http.wire import Send
from inferway.pipeline.answer import Answer
from inferway.providers.base import Target, Timing
from inferway.types import ChatEvent, ReasoningDelta, Standing, TextDelta

HEARTBEAT_S = 10.0
"""Silence after which a comment is sent, so that nobody between us and the client takes the connection for dead."""

_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class EventStream:
    """The sink of one streamed call.

    The status is sent with the first event, so that an error before it has a plain status of its own; only a silence of ten seconds
    sends it earlier, with a comment. `started` says whether it has been sent. `standing` is asked when the headers are written,
    `extra` are headers beside the usual, and `told_id` is the request id in the first event where it is another.
    """

    def __init__(
        self,
        send: Send,
        request_id: str,
        timing: Timing,
        standing: Callable[[], Standing | None] = lambda: None,
        extra: Sequence[Header] = (),
        told_id: str | None = None,
    ) -> None:
        self._send = send
        self._extra = extra
        self._told_id = told_id or request_id
        self._standing = standing
        self._request_id = request_id
        self._timing = timing
        self._writing = asyncio.Lock()
        self._written_at = time.monotonic()
        self._introduced = False
        self._held: list[bytes] = []
        self.started = False

    async def delta(self, index: int, target: Target, event: ChatEvent) -> None:
        """Sends a `delta`, `reasoning_delta` or `tool_call_delta`."""
        name, fields = _fields(event)
        await self._event(target, _encoded(name, {"index": index, **fields}))

    async def item(self, index: int, target: Target, finish_reason: str | None) -> None:
        """Sends an `item`: one prompt's answer is complete."""
        await self._event(target, _encoded("item", {"index": index, "finish_reason": finish_reason}))

    async def failed(self, index: int, error: dict[str, object]) -> None:
        """Sends an `item` with an error; held back until something was answered, as all may fail and then the status says so."""
        event = _encoded("item", {"index": index, "error": error})
        if self._introduced:
            await self._write(event)
        else:
            self._held.append(event)

    async def done(self, answer: Answer) -> None:
        """Sends the last event: the whole answer, as it would have been without streaming."""
        await self.done_with(encode(answer), answer.provider, answer.model)

    async def done_with(self, body: bytes, provider: str, model: str) -> None:
        """Sends the last event, given as JSON."""
        start = b"" if self._introduced else self._introduction(provider, model)
        await self._write(start + b"event: done\ndata: " + body + b"\n\n", last=True)

    async def error(self, error: GatewayError) -> None:
        """Sends the last event of a call that failed after its status had been sent."""
        await self._write(_encoded("error", envelope(error, self._request_id)), last=True)

    async def beat(self) -> None:
        """Sends a comment whenever nothing else was sent for ten seconds; runs until it is cancelled."""
        while True:
            quiet_s = time.monotonic() - self._written_at
            if quiet_s >= HEARTBEAT_S:
                await self._write(b": ping\n\n")
            else:
                await asyncio.sleep(HEARTBEAT_S - quiet_s)

    async def _event(self, target: Target, event: bytes) -> None:
        if not self._introduced:
            event = self._introduction(target.provider, target.model) + event
        await self._write(event)

    def _introduction(self, provider: str, model: str) -> bytes:
        self._introduced = True
        held = b"".join(self._held)
        start = {"request_id": self._told_id, "provider": provider, "model": model}
        return _encoded("start", start) + held

    async def _write(self, data: bytes, *, last: bool = False) -> None:
        async with self._writing:
            self._written_at = time.monotonic()
            if not self.started:
                self.started = True
                headers = [
                    *_HEADERS,
                    (b"x-request-id", self._request_id.encode("ascii")),
                    server_timing(self._timing),
                    *standing_headers(self._standing()),
                    *self._extra,
                ]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})


def _encoded(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), encode(fields))


def _fields(event: ChatEvent) -> tuple[str, dict[str, Any]]:
    if isinstance(event, TextDelta):
        return "delta", {"text": event.text}
    if isinstance(event, ReasoningDelta):
        return "reasoning_delta", {"text": event.text}
    fields: dict[str, Any] = {"call": event.call, "arguments": event.arguments}
    if event.id is not None:
        fields["id"] = event.id
    if event.name is not None:
        fields["name"] = event.name
    return "tool_call_delta", fields
