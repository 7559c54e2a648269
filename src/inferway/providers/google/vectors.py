"""Vectors that are passed on as the bytes they came in: checked to be arrays of numbers without making a float of any."""

from collections.abc import Iterable

import msgspec

from inferway.errors import ProviderBadAnswer

_BLANKS = b" \t\r\n"
_NUMBERS = b"0123456789+-.eE,"


def read_vector(raw: msgspec.Raw) -> msgspec.Raw:
    """The vector without blanks; raises `ProviderBadAnswer` unless it is an array of at least one number.

    The decoder has seen that it is JSON, and numbers are all that JSON can write in these characters.
    """
    body = bytes(raw).translate(None, _BLANKS)
    if body == b"[]" or body.translate(None, _NUMBERS) != b"[]":
        raise ProviderBadAnswer("The provider's answer holds something that is no vector.")
    return msgspec.Raw(body)


def count_dimensions(vector: msgspec.Raw) -> int:
    """How many numbers a vector of `read_vector` holds."""
    return bytes(vector).count(b",") + 1


def read_vectors(raws: Iterable[msgspec.Raw], wanted: int, dimensions: int | None) -> tuple[msgspec.Raw, ...]:
    """`wanted` vectors of one length, of `dimensions` numbers each when that was asked for; raises `ProviderBadAnswer`."""
    vectors = tuple(read_vector(raw) for raw in raws)
    if len(vectors) != wanted:
        raise ProviderBadAnswer(f"{wanted} items were sent and {len(vectors)} vectors came back.")
    lengths = {count_dimensions(vector) for vector in vectors}
    if len(lengths) != 1 or (dimensions is not None and lengths != {dimensions}):
        raise ProviderBadAnswer(
            "The provider's vectors do not have the number of dimensions that was asked for."
        )
    return vectors
