"""What is asked: the same work in the gateway's words and in OpenAI's."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

_PROMPT = "Say in a few words that it is done. " * 2
_TEXTS = [f"a short text to embed, number {number}" for number in range(64)]
_SIDE = 580


@dataclass(frozen=True)
class Scenario:
    """One kind of call: its body for the gateway and for an OpenAI-like server, and the megabytes (10^6 bytes) that it moves."""

    gateway: bytes
    openai: bytes
    megabytes: float = 0.0


def scenarios() -> Mapping[str, Scenario]:
    """Every scenario by name."""
    return {"chat": _chat(), "embeddings": _embeddings(), "vision": _vision()}


def _chat() -> Scenario:
    model = "gpt-4o-mini"
    return Scenario(
        gateway=_json({"provider": "openai", "model": model, "inputs": {"prompts": [_PROMPT]}}),
        openai=_json({"model": model, "messages": [{"role": "user", "content": _PROMPT}]}),
    )


def _embeddings() -> Scenario:
    """64 vectors of 3,072 floats come back: 2.6 MB as JSON."""
    model = "text-embedding-3-large"
    return Scenario(
        gateway=_json({"provider": "openai", "model": model, "inputs": {"texts": _TEXTS}}),
        openai=_json({"model": model, "input": _TEXTS}),
        megabytes=2.6,
    )


def _vision() -> Scenario:
    """A PNG of noise, about 1 MB: its base64 text goes out."""
    image = base64.b64encode(_png()).decode()
    model = "gpt-4o-mini"
    content = [
        {"type": "text", "text": _PROMPT},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
    ]
    inputs = {"prompts": [_PROMPT], "image_base64": image}
    return Scenario(
        gateway=_json({"provider": "openai", "model": model, "inputs": inputs}),
        openai=_json({"model": model, "messages": [{"role": "user", "content": content}]}),
        megabytes=len(image) / 1e6,
    )


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _png() -> bytes:
    rng = random.Random(1)
    rows = b"".join(b"\0" + rng.randbytes(3 * _SIDE) for _ in range(_SIDE))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )
