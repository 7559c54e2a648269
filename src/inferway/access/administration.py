"""What an administrator does: makes namespaces, users and keys, and takes keys back."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from inferway.access.directory import Directory
from inferway.access.founding import new_key
from inferway.access.records import (
    ApiKey,
    Namespace,
    Permission,
    User,
    check_email,
    check_key_name,
    check_namespace_name,
    new_id,
)
from inferway.errors import BadRequest, NotFound


class Administration:
    """Changes to one store. `on_change` is called after each, so that this process's own memory of it is dropped at once."""

    def __init__(self, directory: Directory, on_change: Callable[[], Any] = lambda: None) -> None:
        self._directory = directory
        self._on_change = on_change

    async def create_namespace(self, organization_id: str, name: str) -> Namespace:
        """A new namespace; `BadRequest` for a name that cannot be (`namespace_name_invalid`, `namespace_name_taken`)."""
        check_namespace_name(name)
        namespace = Namespace(
            namespace_id=new_id("ns"),
            organization_id=organization_id,
            name=name,
            created_at=datetime.now(UTC),
        )
        await self._directory.add_namespace(namespace)
        self._on_change()
        return namespace

    async def require_user(self, organization_id: str, email: str) -> User:
        """The user with this email, made if there is none."""
        check_email(email)
        found = await self._directory.find_user(organization_id, email)
        if found is not None:
            return found
        user = User(
            user_id=new_id("user"), organization_id=organization_id, email=email, created_at=datetime.now(UTC)
        )
        await self._directory.add_user(user)
        self._on_change()
        return user

    async def create_key(
        self, user: User, name: str, permission: Permission, *, expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is not stored and cannot be had again; `BadRequest` for an unusable or taken name."""
        check_key_name(name)
        now = datetime.now(UTC)
        if expires_at is not None and expires_at <= now:
            raise BadRequest("A key must expire in the future.", code="key_expiry_invalid")
        record, text = new_key(user, name, permission, now, expires_at)
        await self._directory.add_key(record)
        self._on_change()
        return record, text

    async def revoke_key(self, organization_id: str, reference: str) -> ApiKey:
        """Takes a key back for good, by id or by name; `NotFound` when the organization has no such key."""
        keys = await self._directory.list_keys(organization_id)
        found = next(
            (key for key in keys if reference in (key.key_id, key.name) and key.revoked_at is None), None
        )
        if found is None:
            raise NotFound("There is no such key.", details={"resource": "api_key", "id": reference})
        revoked = msgspec.structs.replace(found, revoked_at=datetime.now(UTC))
        await self._directory.replace_key(revoked)
        self._on_change()
        return revoked
