"""Envelope encryption: each value under a data key of its own, each data key under a key-encryption key."""

import os
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

_NONCE_BYTES = 12
_KEY_BYTES = 32
_BITS = 8 * _KEY_BYTES


class Kek(Struct, frozen=True, kw_only=True):
    """A key-encryption key; `secret` is 32 bytes and never appears in a repr."""

    kek_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Kek(kek_id={self.kek_id!r}, secret='***')"


class Ring(Protocol):
    """Where the key-encryption keys are. Raises `CredentialUnavailable` when they cannot be had."""

    def current(self) -> Kek: ...

    def find(self, kek_id: str) -> Kek | None:
        """A key by its id; looks again where the keys are kept when it is not known yet."""
        ...


class Envelope(Struct, frozen=True, kw_only=True):
    """A sealed value: a nonce and a ciphertext each, of the data key and of the value."""

    kek_id: str
    wrapped_key: bytes
    ciphertext: bytes


def seal_value(kek: Kek, value: bytes, about: tuple[str, ...]) -> Envelope:
    """A value sealed for one place: it opens there and nowhere else. `about` names the place, what it is for first."""
    data_key = AESGCM.generate_key(_BITS)
    return Envelope(
        kek_id=kek.kek_id,
        wrapped_key=_encrypt(kek.secret, data_key, _bound("data-key", about)),
        ciphertext=_encrypt(data_key, value, _bound("value", about)),
    )


def open_value(kek: Kek, sealed: Envelope, about: tuple[str, ...]) -> bytes:
    """The value; raises `cryptography.exceptions.InvalidTag` when it was not sealed so."""
    data_key = _decrypt(kek.secret, sealed.wrapped_key, _bound("data-key", about))
    return _decrypt(data_key, sealed.ciphertext, _bound("value", about))


def rewrap_value(old: Kek, new: Kek, sealed: Envelope, about: tuple[str, ...]) -> Envelope:
    """The same value with its data key under another key; the value itself is not touched."""
    bound = _bound("data-key", about)
    wrapped = _encrypt(new.secret, _decrypt(old.secret, sealed.wrapped_key, bound), bound)
    return Envelope(kek_id=new.kek_id, wrapped_key=wrapped, ciphertext=sealed.ciphertext)


def _bound(purpose: str, about: tuple[str, ...]) -> bytes:
    """What is bound in beside the text: lengths first, so that no two places can have the same."""
    parts = ("inferway", "1", purpose, *about)
    return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)


def _encrypt(key: bytes, text: bytes, about: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, about)


def _decrypt(key: bytes, sealed: bytes, about: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
