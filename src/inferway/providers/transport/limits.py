"""What the transport allows a provider to take: connections, time and bytes."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of one transport; sizes in bytes, times in seconds."""

    connections: int = 1_000
    """Calls at once; further ones wait for one to end, at most until their deadline."""
    idle_connections: int = 100
    """Connections that are kept unused; further ones are kept for a second."""
    idle_s: float = 30.0
    """How long an unused connection is kept; shorter when the server's `Keep-Alive` header says so."""
    connect_timeout_s: float = 5.0
    body_bytes: int = 64 * 1024 * 1024
    stream_bytes: int = 32 * 1024 * 1024
    stream_s: float = 600.0
    head_bytes: int = 64 * 1024
    """Status line and headers, together with all interim answers before them."""
