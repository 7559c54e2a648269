"""The settings of the dashboard."""

from typing import Annotated

from msgspec import Meta, Struct


class DashboardSettings(Struct, frozen=True, kw_only=True):
    """`[dashboard]`: the pages at `/`."""

    enabled: Annotated[bool, Meta(description="Serve the dashboard.")] = True
    session_hours: Annotated[
        float, Meta(gt=0, le=8760, description="Hours after which who has signed in must do so again.")
    ] = 12.0
    link_minutes: Annotated[
        float, Meta(gt=0, le=10_080, description="Minutes for which a one-time sign-in link can be used.")
    ] = 60.0
    passwords_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Attempts to sign in by password that one address, or one email, may make in a minute.",
        ),
    ] = 10
