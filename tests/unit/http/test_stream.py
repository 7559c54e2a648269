"""The events of a streamed answer."""

import asyncio
from typing import Any

import pytest

from inferway.http import stream
from inferway.http.stream import EventStream
from inferway.providers.base import Target, Timing
from inferway.types import TextDelta


async def test_a_silence_is_filled_with_comments_and_sends_the_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    sent: list[Any] = []
    pinged = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) >= 3:
            pinged.set()

    events = EventStream(send, "req_1", Timing(), lambda: None)
    heart = asyncio.create_task(events.beat())
    await asyncio.wait_for(pinged.wait(), 5)
    heart.cancel()
    assert events.started
    assert sent[0]["status"] == 200
    assert [message["body"] for message in sent[1:3]] == [b": ping\n\n"] * 2
    await events.delta(0, Target(provider="p", model="m"), TextDelta(text="hi"))
    assert sent[-1]["body"].startswith(b"event: start\n")
    assert sent[-1]["body"].endswith(b'event: delta\ndata: {"index":0,"text":"hi"}\n\n')
