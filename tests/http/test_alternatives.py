"""A call that a provider has no place for names the providers that have one."""

import base64
import io
import wave
from typing import Any

import pytest

from tests.http.kit import Gateway, Upstream


def sound() -> str:
    """A tenth of a second of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\0\0" * 1_600)
    return base64.b64encode(buffer.getvalue()).decode()


SOUND = {"type": "audio", "audio_base64": sound()}
FILM = {
    "type": "video",
    "video_base64": base64.b64encode(b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41").decode(),
}


@pytest.mark.parametrize(
    ("provider", "part", "able"),
    [
        ("anthropic", SOUND, ["google", "openai"]),
        ("anthropic", FILM, ["google"]),
        ("openai", FILM, ["google"]),
    ],
)
def test_a_kind_of_media_without_a_place_names_who_has_one(
    gateway: Gateway, upstream: Upstream, provider: str, part: dict[str, Any], able: list[str]
) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, part]}]
    answer = gateway.infer(provider=provider, model="m", inputs={"messages": messages})
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["details"]["providers"] == able
    assert f"providers that can: {', '.join(able)}" in error["message"]
    assert upstream.seen == []
