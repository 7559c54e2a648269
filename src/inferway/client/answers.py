"""What a call is answered with, typed by operation."""

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from inferway.types import Adaptation, Completion, Transcript

if TYPE_CHECKING:
    import numpy as np

Vector = tuple[float, ...]


class Answer(Struct, frozen=True, kw_only=True):
    """What every answer has. `cost_usd` is None when the model has no known price; `raw` is the whole JSON object.

    `tokens_used` has at least `prompt`, `completion` and `total`, or is None when nobody counted.
    """

    provider: str
    model: str
    latency_ms: float
    cached: bool
    request_id: str
    tokens_used: dict[str, int] | None = None
    cost_usd: float | None = None
    adaptations: tuple[Adaptation, ...] = ()
    warnings: tuple[str, ...] = ()
    model_version: str | None = None
    raw: dict[str, Any] = {}


class ChatAnswer(Answer, frozen=True, kw_only=True):
    """One completion for each prompt, in order."""

    completions: tuple[Completion, ...]

    @property
    def text(self) -> str:
        """The text of the first completion."""
        return self.completions[0].text

    @property
    def parsed(self) -> Any:
        """The object that a `schema` asked for, of the first completion; None without one."""
        found = self.completions[0].parsed
        return None if found is msgspec.UNSET else found


class EmbeddingAnswer(Answer, frozen=True, kw_only=True):
    """One vector for each input, in order."""

    vectors: tuple[Vector, ...]

    @property
    def vector(self) -> Vector:
        """The first vector."""
        return self.vectors[0]

    def numpy(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """All vectors as an array of float32, shape (inputs, dimensions). Needs numpy."""
        import numpy as np  # noqa: PLC0415 - only who asks for arrays needs it

        return np.asarray(self.vectors, dtype=np.float32)


class TranscriptionAnswer(Answer, frozen=True, kw_only=True):
    """What was said."""

    transcript: Transcript

    @property
    def text(self) -> str:
        """The whole text."""
        return self.transcript.text


class Event(Struct, frozen=True, kw_only=True):
    """One event of a stream: `delta`, `reasoning_delta`, `tool_call_delta`, `item`, `start` or `done`, and its data."""

    name: str
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """The piece of the answer's text that came; empty for other events than `delta`."""
        return str(self.data.get("text", "")) if self.name == "delta" else ""

    @property
    def index(self) -> int:
        """Which prompt the event belongs to."""
        return int(self.data.get("index", 0))


_SHARED = tuple(name for name in Answer.__struct_fields__ if name != "raw")


def chat_answer(found: dict[str, Any]) -> ChatAnswer:
    """The answer of a chat; raises `msgspec.ValidationError` when it is none."""
    completions = msgspec.convert(found["data"]["completions"], tuple[Completion, ...])
    return ChatAnswer(completions=completions, **_shared(found))


def embedding_answer(found: dict[str, Any]) -> EmbeddingAnswer:
    """The answer of an embedding; raises `msgspec.ValidationError` when it is none."""
    data = found["data"]
    vectors = [data["embedding"]] if "embedding" in data else data["embeddings"]
    return EmbeddingAnswer(vectors=msgspec.convert(vectors, tuple[Vector, ...]), **_shared(found))


def transcription_answer(found: dict[str, Any]) -> TranscriptionAnswer:
    """The answer of a transcription; raises `msgspec.ValidationError` when it is none."""
    return TranscriptionAnswer(transcript=msgspec.convert(found["data"], Transcript), **_shared(found))


def _shared(found: dict[str, Any]) -> dict[str, Any]:
    values = {name: found[name] for name in _SHARED if name in found}
    values["adaptations"] = msgspec.convert(found.get("adaptations", ()), tuple[Adaptation, ...])
    values["warnings"] = tuple(found.get("warnings", ()))
    return {**values, "raw": found}
