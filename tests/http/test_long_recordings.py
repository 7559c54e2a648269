"""A recording above a model's limit is refused with the limit named, before anything is sent."""

import base64
import io
import json
import wave
from typing import Any

import pytest

from tests.http.kit import Gateway, Reply, Upstream


def recording(seconds: int) -> str:
    """Silence of a hundred bytes a second."""
    content = io.BytesIO()
    with wave.open(content, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(1)
        written.setframerate(100)
        written.writeframes(bytes([128]) * (100 * seconds))
    return base64.b64encode(content.getvalue()).decode()


def transcribe(gateway: Gateway, seconds: int, **fields: Any) -> tuple[int, dict[str, Any]]:
    asked = {"model": "gpt-4o-transcribe", "inputs": {"audio_base64": recording(seconds)}} | fields
    answer = gateway.infer(**asked)
    return answer.status, answer.json()


@pytest.mark.parametrize("fields", [{}, {"dry_run": True}])
def test_a_recording_that_is_too_long_is_refused_with_the_limit(
    gateway: Gateway, upstream: Upstream, fields: dict[str, Any]
) -> None:
    status, body = transcribe(gateway, 1600, **fields)
    assert (status, body["error"]["code"]) == (400, "audio_too_long")
    assert "at most 1500 seconds" in body["error"]["message"]
    assert body["error"]["details"] == {"limit_seconds": 1500, "seconds": 1600.0}
    assert upstream.seen == []


def test_a_fallback_that_could_not_take_it_is_told_before_it_is_needed(
    gateway: Gateway, upstream: Upstream
) -> None:
    fallbacks = [{"provider": "openai", "model": "gpt-4o-mini-transcribe"}]
    status, body = transcribe(gateway, 1600, model="whisper-1", fallbacks=fallbacks)
    assert (status, body["error"]["code"]) == (400, "audio_too_long")
    assert "gpt-4o-mini-transcribe" in body["error"]["message"]
    assert upstream.seen == []


@pytest.mark.parametrize(("model", "seconds"), [("whisper-1", 1600), ("gpt-4o-transcribe", 1400)])
def test_what_is_within_the_limit_goes_out(
    gateway: Gateway, upstream: Upstream, model: str, seconds: int
) -> None:
    upstream.answer = lambda _: Reply(json.dumps({"text": "la"}).encode())
    status, body = transcribe(gateway, seconds, model=model)
    assert (status, len(upstream.seen)) == (200, 1), body
