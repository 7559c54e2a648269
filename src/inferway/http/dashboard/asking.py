"""What several pages ask of the API in the same way."""

from collections.abc import Awaitable
from typing import Any, TypeVar

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.view import Visitor

T = TypeVar("T")


async def unless_forbidden(asked: Awaitable[T]) -> T | None:
    """An answer, or None when the session's key may not have it: the page then says so in its place."""
    try:
        return await asked
    except Refused as refused:
        if refused.status != 403:
            raise
        return None


async def may(visitor: Visitor, permission: str) -> bool:
    """Whether the session's key has a permission, as far as pages show forms; the API has the last word."""
    levels = ("read", "write", "delete", "admin")
    held = (await visitor.me())["key"]["permissions"]
    return bool(set(levels[levels.index(permission) :]) & set(held))


async def users_of(visitor: Visitor) -> list[dict[str, Any]]:
    """The users that the session may see, a thousand at most."""
    found = await unless_forbidden(visitor.api.get("/v1/organizations/users", query={"limit": 1000}))
    return [] if found is None else list(found["results"])


async def secrets_of(visitor: Visitor) -> list[str] | None:
    """The names of the secrets that the session may see; None when it may see none at all."""
    found = await unless_forbidden(visitor.api.get("/v1/organizations/secrets"))
    return None if found is None else list(found["secrets"])


async def providers_of(visitor: Visitor) -> list[dict[str, Any]]:
    """The providers, with whose credential each is called; none when the session may not see them."""
    found = await unless_forbidden(visitor.api.get("/v1/organizations/credentials"))
    return [] if found is None else list(found["results"])


async def namespaces_of(visitor: Visitor) -> list[dict[str, Any]]:
    """The namespaces that the session may see, a thousand at most."""
    found = await unless_forbidden(visitor.api.get("/v1/namespaces", query={"limit": 1000}))
    return [] if found is None else list(found["results"])
