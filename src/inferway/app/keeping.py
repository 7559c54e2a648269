"""What keeps requests and answers for namespaces that ask for it, put together from its settings."""

from inferway.access.directory import Directory
from inferway.access.keyring import open_ring
from inferway.cache.contents import Contents
from inferway.pipeline.keeping import Keeping, Terms
from inferway.settings import Settings


def make_keeping(settings: Settings, store: Contents, directory: Directory) -> Keeping:
    """For one worker."""
    chosen = settings.content
    terms = Terms(
        call_max_bytes=chosen.call_max_kb * 1024, waiting_max_bytes=chosen.waiting_max_mb * 1024 * 1024
    )
    return Keeping(store, open_ring(settings.secrets_key_file, settings.secrets_key), directory, terms)
