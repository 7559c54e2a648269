"""The settings of what is kept for callers that send a call again."""

from typing import Annotated

from msgspec import Meta, Struct


class IdempotencySettings(Struct, frozen=True, kw_only=True):
    """`[idempotency]`: answers kept for callers that send an Idempotency-Key."""

    keep_s: Annotated[
        float, Meta(ge=1, le=2_592_000, description="Seconds an answer is kept for its Idempotency-Key.")
    ] = 86_400.0
    lease_s: Annotated[
        float,
        Meta(
            ge=1,
            le=300,
            description="Seconds after which the key of a call whose process died is free again.",
        ),
    ] = 15.0
    answer_max_mb: Annotated[
        int, Meta(ge=1, le=512, description="Largest answer that is kept, in MB; larger ones are only given.")
    ] = 16
    keys_max: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="Keys of one namespace; above it new ones get a 429.")
    ] = 1_000_000
    total_max_mb: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Answers kept for one namespace, in MB; above it new keys get a 429.",
        ),
    ] = 1024
