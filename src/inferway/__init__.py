"""Inferway: a self-hosted raw-inference gateway, and the client for it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferway.app.inside import local, local_async
    from inferway.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__", "local", "local_async"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The clients are imported when somebody asks for them, and the pipeline only by `local`."""
    if name in ("AsyncClient", "Client"):
        from inferway import client  # noqa: PLC0415

        return getattr(client, name)
    if name in ("local", "local_async"):
        from inferway.app import inside  # noqa: PLC0415

        return getattr(inside, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
