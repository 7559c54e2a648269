"""The provider row of the fake."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from inferway.providers.base import Provider
from inferway.providers.fake.chat import FakeChat
from inferway.providers.fake.media import FakeEmbedding, FakeTranscription
from inferway.providers.fake.switches import check_options
from inferway.types import Operation

KIND = "fake"
OPERATIONS = frozenset(Operation) - {Operation.PLUGIN}
_MODELS = MappingProxyType(
    {
        "fake-chat": ("chat", "vision"),
        "fake-chat?chunk_ms=60": ("chat", "vision"),
        "fake-chat?error=rate_limited": ("chat", "vision"),
        "fake-embedding": ("text_embedding", "image_embedding", "video_embedding"),
        "fake-transcription": ("transcription",),
    }
)
"""What people are offered; any name that begins with `fake-` does everything."""


def build(*, name: str = KIND, options: Mapping[str, Any] | None = None) -> Provider:
    """The row. `options` are switches for every call (see `Switches`); ValueError when they are none."""
    chosen = dict(options or {})
    check_options(chosen)
    return Provider(
        name=name,
        kind=KIND,
        chat=FakeChat(chosen),
        embedding=FakeEmbedding(chosen),
        transcription=FakeTranscription(chosen),
        operations=OPERATIONS,
        facts=lambda model: {"operations": _MODELS[model]} if model in _MODELS else {},
        names=lambda: tuple(_MODELS),
        options=chosen,
    )
