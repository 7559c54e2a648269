"""The text of a key: `sk_`, 30 random characters, and a checksum that tells a typo from a key without a look-up."""

import hashlib
import re
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
KEY_LENGTH = 39
PREFIX_LENGTH = 10

_RANDOM_LENGTH, _CHECKSUM_LENGTH = 30, 6
_KEY = re.compile(rb"sk_[0-9A-Za-z]{36}")


def mint_key() -> str:
    """A new key: 30 base62 characters hold 178 random bits."""
    return with_checksum("sk_" + random_text(_RANDOM_LENGTH))


def with_checksum(body: str) -> str:
    """A key's text of `sk_` and 30 characters with the checksum that belongs to it."""
    return body + _checksum(body.encode("ascii"))


def random_text(length: int) -> str:
    """Random base62 text from the system's own source."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def is_well_formed(key: bytes) -> bool:
    """Whether the bytes can be a key at all: form and checksum; says nothing about whether it was ever given out."""
    return _KEY.fullmatch(key) is not None and _checksum(key[:-_CHECKSUM_LENGTH]) == key[
        -_CHECKSUM_LENGTH:
    ].decode("ascii")


def digest_of(key: bytes) -> bytes:
    """What is stored instead of a key: its SHA-256, 32 bytes."""
    return hashlib.sha256(key).digest()


def prefix_of(key: str) -> str:
    """The part of a key that may be shown, so that its owner knows it again."""
    return key[:PREFIX_LENGTH]


def _checksum(body: bytes) -> str:
    """CRC-32 as six base62 characters."""
    rest, digits = zlib.crc32(body), ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return digits
