"""What a caller is allowed: the numbers, the tiers, and the buckets they make."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from inferway.limits.bucket import Bucket

Tier = Literal["free", "pro", "enterprise"]


class Terms(Struct, frozen=True, kw_only=True):
    """Limits of one key (calls and tokens) and of its organization (calls at once); 0 is no limit.

    `burst` is how many calls may come at once under the limit per minute, never more than a minute's worth; 0 is a minute's worth.
    """

    per_minute: int = 0
    burst: int = 0
    per_second: int = 0
    concurrent: int = 0
    tokens_per_minute: int = 0


TIERS: Mapping[Tier, Terms] = MappingProxyType(
    {
        "free": Terms(per_minute=60, burst=20, per_second=10, concurrent=5),
        "pro": Terms(per_minute=600, burst=200, per_second=100, concurrent=50),
        "enterprise": Terms(per_minute=6_000, burst=400, per_second=200, concurrent=200),
    }
)


class Rules(Struct, frozen=True, kw_only=True):
    """Terms made ready for counting; None and 0 are no limit."""

    minute: Bucket | None
    second: Bucket | None
    tokens: Bucket | None
    concurrent: int


def rules_of(terms: Terms) -> Rules:
    """The buckets that terms make."""
    minute = second = tokens = None
    if terms.per_minute:
        capacity = min(terms.burst or terms.per_minute, terms.per_minute)
        minute = Bucket(limit=terms.per_minute, capacity=capacity, window_s=60)
    if terms.per_second:
        second = Bucket(limit=terms.per_second, capacity=terms.per_second, window_s=1)
    if terms.tokens_per_minute:
        each = terms.tokens_per_minute
        tokens = Bucket(limit=each, capacity=each, window_s=60)
    return Rules(minute=minute, second=second, tokens=tokens, concurrent=terms.concurrent)
