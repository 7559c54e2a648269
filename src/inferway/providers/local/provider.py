"""The registry row `local`."""

from inferway.providers.base import Provider
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
    )
