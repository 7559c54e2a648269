"""The provider row of the fake."""

from collections.abc import Mapping
from typing import Any

from inferway.providers.base import Provider
from inferway.providers.fake.chat import FakeChat
from inferway.providers.fake.media import FakeEmbedding, FakeTranscription
from inferway.providers.fake.switches import check_options
from inferway.types import Operation

KIND = "fake"
OPERATIONS = frozenset(Operation) - {Operation.PLUGIN}


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
        options=chosen,
    )
