"""What keeps the answers of calls with an Idempotency-Key, put together from its settings."""

from inferway.access.keyring import open_ring
from inferway.cache.kept import KeptAnswers, Room
from inferway.pipeline.once import Once, Terms
from inferway.pipeline.ports import Ledger, Observer
from inferway.settings import IdempotencySettings, Settings

_MIB = 1024 * 1024


def make_once(
    settings: Settings, store: KeptAnswers, ledger: Ledger, observer: Observer | None = None
) -> Once:
    """For one worker: those that share the store share the keys."""
    ring = open_ring(settings.secrets_key_file, settings.secrets_key)
    return Once(store, ring, ledger, terms_of(settings.idempotency), observer=observer)


def terms_of(chosen: IdempotencySettings) -> Terms:
    """The section `[idempotency]`."""
    return Terms(
        keep_s=chosen.keep_s,
        lease_s=chosen.lease_s,
        answer_max_bytes=chosen.answer_max_mb * _MIB,
        room=Room(keys=chosen.keys_max, bytes=chosen.total_max_mb * _MIB),
    )
