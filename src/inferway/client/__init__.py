"""Calls a server: `Client` waits for each answer, `AsyncClient` is for asyncio."""

from typing import TYPE_CHECKING, Any

from inferway.client.errors import (
    APIError,
    BadRequestError,
    ConnectionFailed,
    ForbiddenError,
    InferenceError,
    InferenceServiceUnavailableError,
    InferwayError,
    InternalServerError,
    NotFoundError,
    QuotaExceededError,
    TooManyRequestsError,
    UnauthorizedError,
    ValidationError,
)

if TYPE_CHECKING:
    from inferway.client.blocking import Client
    from inferway.client.concurrent import AsyncClient

__all__ = [
    "APIError",
    "AsyncClient",
    "BadRequestError",
    "Client",
    "ConnectionFailed",
    "ForbiddenError",
    "InferenceError",
    "InferenceServiceUnavailableError",
    "InferwayError",
    "InternalServerError",
    "NotFoundError",
    "QuotaExceededError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "ValidationError",
]


def __getattr__(name: str) -> Any:
    """The clients bring their HTTP library with them, so each is imported when somebody asks for it."""
    if name == "Client":
        from inferway.client.blocking import Client  # noqa: PLC0415

        return Client
    if name == "AsyncClient":
        from inferway.client.concurrent import AsyncClient  # noqa: PLC0415

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
