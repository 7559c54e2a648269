"""Scopes: which things of its organization a key may touch, and doing what."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

ResourceType = Literal[
    "organization",
    "user",
    "api_key",
    "namespace",
    "collection",
    "document",
    "bucket",
    "retriever",
    "cluster",
    "taxonomy",
    "storage_connection",
    "alert",
    "annotation",
    "secret",
    "webhook",
]
"""The kinds that the reference client knows; only `organization`, `user`, `api_key`, `namespace` and `secret` exist here."""

Operation = Literal[
    "read_data",
    "write_data",
    "delete_data",
    "execute_retriever",
    "create_retriever",
    "delete_retriever",
    "execute_job",
    "cancel_job",
    "create_cluster",
    "delete_cluster",
    "modify_cluster",
    "modify_infrastructure",
    "manage_permissions",
]
"""The operations that the reference client knows. Here they stand for the permissions, and `execute_job` for inference."""

OPERATIONS_OF: dict[str, frozenset[str]] = {
    "read": frozenset({"read_data"}),
    "write": frozenset({"write_data"}),
    "delete": frozenset({"delete_data"}),
    "admin": frozenset({"manage_permissions"}),
    "infer": frozenset({"execute_job", "write_data"}),
}
"""What a route needs → the operations of which a scope must have one, if it names any."""


class Scope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Things that a key may touch: a kind, and an id or name in which `*` stands for anything. No `operations`: all of them.

    `organization` covers everything in it.
    """

    resource_type: ResourceType
    resource_id: Annotated[str, Meta(min_length=1, max_length=100)]
    operations: tuple[Operation, ...] | None = None

    def allows(self, need: str) -> bool:
        """Whether the scope's operations are enough for a need (a key of `OPERATIONS_OF`)."""
        return self.operations is None or bool(OPERATIONS_OF[need].intersection(self.operations))


Scopes = tuple[Scope, ...]


def matches(pattern: str, text: str) -> bool:
    """Whether a text has the form of a pattern in which `*` stands for any characters; in linear time."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def permits(
    scopes: Scopes, kind: ResourceType, names: tuple[str, ...], organization_id: str, need: str
) -> bool:
    """Whether the scopes let their key do something with a thing; `names` are all it goes by. No scopes permit everything."""
    if not scopes:
        return True
    return any(
        scope.allows(need)
        and (
            (scope.resource_type == kind and any(matches(scope.resource_id, name) for name in names))
            or (scope.resource_type == "organization" and matches(scope.resource_id, organization_id))
        )
        for scope in scopes
    )


def covers(held: Scopes, asked: Scopes, organization_id: str) -> bool:
    """Whether whoever holds some scopes may grant others: each must lie within one that is held."""
    if not held:
        return True
    return bool(asked) and all(
        any(_is_within(scope, other, organization_id) for other in held) for scope in asked
    )


def _is_within(asked: Scope, held: Scope, organization_id: str) -> bool:
    if held.operations is not None and not (
        asked.operations is not None and set(asked.operations) <= set(held.operations)
    ):
        return False
    if held.resource_type == "organization" and matches(held.resource_id, organization_id):
        return True
    # A pattern matches another exactly when everything that the other matches is its own: `*` in the text is plain text to it.
    return held.resource_type == asked.resource_type and matches(held.resource_id, asked.resource_id)


def covers_patterns(held: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    """Whether patterns that are asked for lie within those that are held; none held is everything."""
    if not held:
        return True
    return bool(asked) and all(any(matches(mine, other) for mine in held) for other in asked)


def allows_model(models: tuple[str, ...], provider: str, model: str) -> bool:
    """Whether a key that is limited to some models may call one: patterns for `provider/model`, or for the model alone."""
    named = f"{provider}/{model}"
    return not models or any(matches(each, named if "/" in each else model) for each in models)


def allows_origin(allowed: tuple[str, ...], origin: str | None) -> bool:
    """Whether a browser's origin is one that a key allows (`https://*.example.com` for subdomains); none named allows all."""
    return not allowed or (origin is not None and any(matches(each, origin.lower()) for each in allowed))
