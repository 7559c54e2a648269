"""The registry row `local`."""

from typing import Any

from inferway.providers.base import Facts, Provider
from inferway.providers.local.capability import Choice
from inferway.providers.local.catalogue import Catalogue
from inferway.providers.local.chat import LocalChat
from inferway.providers.local.embedding import LocalEmbedding
from inferway.providers.local.pool import EnginePool
from inferway.providers.local.shelf import Shelf
from inferway.providers.local.transcription import LocalTranscription
from inferway.types import Operation


def make_provider(catalogue: Catalogue, shelf: Shelf, pool: EnginePool) -> Provider:
    """The provider `local`: chat, text embeddings and transcription by the catalogue's models, run by a pool.

    The shelf is only asked which models are pulled; it may be another object for the same folder than the pool's.
    """
    choice = Choice(catalogue, shelf)
    return Provider(
        name="local",
        kind="local",
        chat=LocalChat(choice, pool),
        embedding=LocalEmbedding(choice, pool),
        transcription=LocalTranscription(choice, pool),
        operations=frozenset({Operation.CHAT, Operation.TEXT_EMBEDDING, Operation.TRANSCRIPTION}),
        facts=lambda name: _facts(catalogue, name),
        names=lambda: tuple(catalogue.models),
    )


def _facts(catalogue: Catalogue, name: str) -> Facts:
    """What the model does, its sizes, and how long an answer may get that nobody bounds."""
    model = catalogue.find_model(name)
    if model is None and name.lower() == "default":
        model = catalogue.require_model(name, Operation.CHAT)
    if model is None:
        return {}
    facts: dict[str, Any] = {"operations": (model.operation.value,), "context_tokens": model.context_length}
    if model.dimensions is not None:
        facts["vector_length"] = model.dimensions
    if "max_tokens" in model.options:
        facts["max_tokens_unasked"] = model.options["max_tokens"]
    return facts
