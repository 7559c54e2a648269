"""A secret as it is stored: sealed."""

from datetime import datetime

from msgspec import Struct


class SealedSecret(Struct, frozen=True, kw_only=True):
    """A value under its own data key, and that key under the key-encryption key `kek_id`; each is a nonce and a ciphertext."""

    secret_id: str
    organization_id: str
    name: str
    kek_id: str
    wrapped_key: bytes
    ciphertext: bytes
    created_at: datetime
    updated_at: datetime
