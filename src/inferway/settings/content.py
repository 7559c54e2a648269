"""The settings of what is kept for namespaces that keep requests and answers."""

from typing import Annotated

from msgspec import Meta, Struct


class ContentSettings(Struct, frozen=True, kw_only=True):
    """`[content]`: requests and answers, of namespaces that keep them (`keep_content`)."""

    call_max_kb: Annotated[
        int,
        Meta(
            ge=1,
            le=65_536,
            description="Largest request and largest answer kept whole, in KB; longer ones are cut.",
        ),
    ] = 256
    waiting_max_mb: Annotated[
        int,
        Meta(
            ge=1,
            le=65_536,
            description="Requests and answers that wait to be written, in MB for each worker; above it they are dropped.",
        ),
    ] = 64
