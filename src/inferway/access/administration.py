"""What an administrator does: makes and changes organizations, namespaces, users and keys; each change with its audit event."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from inferway.access.directory import Directory, Founding
from inferway.access.founding import DEFAULT_NAMESPACE, new_key
from inferway.access.keys import digest_of, mint_key, prefix_of
from inferway.access.records import (
    BY_ROLE,
    DASHBOARD,
    ApiKey,
    AuditEvent,
    Namespace,
    Organization,
    Permission,
    Role,
    User,
    check_email,
    check_key_name,
    check_namespace_name,
    find_dashboard_key,
    new_id,
)
from inferway.errors import BadRequest, NotFound

R = TypeVar("R", bound=Struct)
_TOLD = ("name", "description", "granted", "permission", "scopes", "models", "allowed_origins", "expires_at")
_TOLD_TOO = (
    *("per_minute", "spend_budget", "namespace_budget", "role", "standing", "email", "metadata"),
    *("avatar_url", "logo_url", "billing_email", "notifications_email", "credentials", "attributes"),
    "keep_days",
)


class Actor(Struct, frozen=True, kw_only=True):
    """Who makes a change, for the audit log."""

    user_id: str
    email: str | None = None
    key_name: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None


OPERATOR = Actor(user_id="operator")
"""Whoever works on the machine itself."""


class Administration:
    """Changes to one store. `on_change` is called after each, so that this process's own memory of it is dropped at once."""

    def __init__(self, directory: Directory, on_change: Callable[[], Any] = lambda: None) -> None:
        self._directory = directory
        self._on_change = on_change

    def note_change(self) -> None:
        """Drops what this process remembers, after a change that was made elsewhere."""
        self._on_change()

    async def create_tenant(self, name: str, email: str) -> tuple[Founding, str]:
        """Another organization with a namespace, an administrator and a key; the key's text cannot be had again."""
        check_email(email)
        now = datetime.now(UTC)
        organization = Organization(organization_id=new_id("org"), name=name, created_at=now)
        tenant = organization.organization_id
        namespace = Namespace(
            namespace_id=new_id("ns"), organization_id=tenant, name=DEFAULT_NAMESPACE, created_at=now
        )
        user = User(user_id=new_id("user"), organization_id=tenant, email=email, created_at=now)
        key, text = new_key(user, "admin", Permission.ADMIN, now)
        founding = Founding(organization=organization, namespace=namespace, user=user, keys=(key,))
        await self._directory.add_tenant(founding)
        self._on_change()
        return founding, text

    async def change_organization(self, was: Organization, by: Actor, **changes: Any) -> Organization:
        """Writes changes to an organization's own fields; `Conflict` when it was changed meanwhile."""
        now, event = _changed(was, was.organization_id, "organization", "organization_updated", by, changes)
        await self._directory.replace_organization(now, was=was, event=event)
        self._on_change()
        return now

    async def create_namespace(
        self, organization_id: str, name: str, by: Actor = OPERATOR, **fields: Any
    ) -> Namespace:
        """A new namespace; `BadRequest` (`namespace_name_invalid`) or `Conflict` (`namespace_name_taken`) for its name."""
        check_namespace_name(name)
        now = datetime.now(UTC)
        namespace = Namespace(
            namespace_id=new_id("ns"),
            organization_id=organization_id,
            name=name,
            created_at=now,
            updated_at=now,
            **fields,
        )
        event = event_of(
            by, organization_id, ("namespace", namespace.namespace_id), "namespace_created", _told(namespace)
        )
        await self._directory.add_namespace(namespace, event=event)
        self._on_change()
        return namespace

    async def change_namespace(self, was: Namespace, by: Actor, **changes: Any) -> Namespace:
        """Writes changes to a namespace; raises as `create_namespace` does, and `Conflict` when it was changed meanwhile."""
        if "name" in changes:
            check_namespace_name(changes["name"])
        now, event = _changed(was, was.namespace_id, "namespace", "namespace_updated", by, changes)
        await self._directory.replace_namespace(now, was=was, event=event)
        self._on_change()
        return now

    async def remove_namespace(self, namespace: Namespace, by: Actor) -> None:
        """Removes a namespace; what was used in it stays in the ledger."""
        resource = ("namespace", namespace.namespace_id)
        event = event_of(
            by, namespace.organization_id, resource, "namespace_deleted", {"name": namespace.name}
        )
        await self._directory.remove_namespace(namespace, event=event)
        self._on_change()

    async def require_user(self, organization_id: str, email: str) -> User:
        """The user with this email, made as an administrator if there is none."""
        check_email(email)
        found = await self._directory.find_user(organization_id, email)
        return found or await self.create_user(organization_id, email, OPERATOR, role=Role.ADMIN)

    async def create_user(self, organization_id: str, email: str, by: Actor, **fields: Any) -> User:
        """A new user; `BadRequest` (`email_invalid`) or `Conflict` (`user_taken`) for the email."""
        check_email(email)
        now = datetime.now(UTC)
        user = User(
            user_id=new_id("user"),
            organization_id=organization_id,
            email=email,
            created_at=now,
            updated_at=now,
            **fields,
        )
        event = event_of(by, organization_id, ("user", user.user_id), "user_created", _told(user))
        await self._directory.add_user(user, event=event)
        self._on_change()
        return user

    async def change_user(
        self, was: User, by: Actor, *, action: str = "user_updated", **changes: Any
    ) -> User:
        """Writes changes to a user; `Conflict` when it was changed meanwhile."""
        now, event = _changed(was, was.user_id, "user", action, by, changes)
        await self._directory.replace_user(now, was=was, event=event)
        if now.role is not was.role:
            await self._fit_dashboard_key(now)
        self._on_change()
        return now

    async def _fit_dashboard_key(self, user: User) -> None:
        """A user's own sessions may do what the role says, also those that go on."""
        permission = BY_ROLE[user.role]
        keys = await self._directory.list_keys(user.organization_id)
        key = find_dashboard_key(keys, user, datetime.now(UTC))
        if key is not None:
            by = Actor(user_id=DASHBOARD)
            await self.change_key(key, by, permission=permission, granted=(permission,))

    async def remove_user(self, user: User, by: Actor) -> None:
        """Removes a user with all its keys."""
        resource = ("user", user.user_id)
        event = event_of(by, user.organization_id, resource, "user_deleted", {"email": user.email})
        await self._directory.remove_user(user, event=event)
        self._on_change()

    async def create_key(
        self,
        user: User,
        name: str,
        permission: Permission,
        *,
        expires_at: datetime | None = None,
        by: Actor = OPERATOR,
        **fields: Any,
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is not stored and cannot be had again.

        Raises `BadRequest` for an unusable name or an expiry that is past, and `Conflict` (`key_name_taken`).
        """
        check_key_name(name)
        now = datetime.now(UTC)
        _require_future(expires_at, now)
        made, text = new_key(user, name, permission, now, expires_at)
        record = msgspec.structs.replace(made, created_by=by.user_id, **fields)
        event = event_of(
            by, user.organization_id, ("api_key", record.key_id), "api_key_created", _told(record)
        )
        await self._directory.add_key(record, event=event)
        self._on_change()
        return record, text

    async def change_key(self, was: ApiKey, by: Actor, **changes: Any) -> ApiKey:
        """Writes changes to a live key; `BadRequest` (`key_final`) for one that is revoked or expired."""
        now = datetime.now(UTC)
        require_live(was, now)
        if "name" in changes:
            check_key_name(changes["name"])
        _require_future(changes.get("expires_at"), now)
        action = "api_key_scope_updated" if "scopes" in changes else "api_key_updated"
        if "permission" in changes:
            action = "permission_updated"
        key, event = _changed(was, was.key_id, "api_key", action, by, changes)
        await self._directory.replace_key(key, was=was, event=event)
        self._on_change()
        return key

    async def expire_key(self, was: ApiKey, by: Actor) -> ApiKey:
        """Ends a live key now, for good."""
        now = datetime.now(UTC)
        require_live(was, now)
        key, event = _changed(was, was.key_id, "api_key", "api_key_updated", by, {"expires_at": now})
        await self._directory.replace_key(key, was=was, event=event)
        self._on_change()
        return key

    async def rotate_key(self, was: ApiKey, by: Actor, *, overlap_s: int = 0) -> tuple[ApiKey, str]:
        """Gives a live key a new text and returns it; the old text works for another `overlap_s` seconds."""
        now = datetime.now(UTC)
        require_live(was, now)
        text = mint_key()
        until = now + timedelta(seconds=overlap_s)
        key = msgspec.structs.replace(
            was,
            digest=digest_of(text.encode("ascii")),
            prefix=prefix_of(text),
            # Kept without an overlap too: the old text is then told that it was rotated, for as long as it is the last one.
            previous_digest=was.digest,
            previous_until=until,
        )
        changes = {"old_key_works_until": until}
        event = event_of(by, was.organization_id, ("api_key", was.key_id), "api_key_rotated", changes)
        await self._directory.replace_key(key, was=was, event=event)
        self._on_change()
        return key, text

    async def revoke_key(self, organization_id: str, reference: str, by: Actor = OPERATOR) -> ApiKey:
        """Takes a key back for good, by id or by name; `NotFound` when the organization has no such key."""
        keys = await self._directory.list_keys(organization_id)
        found = find_by_reference(keys, reference)
        if found is None or found.revoked_at is not None:
            raise NotFound("There is no such key.", details={"resource": "api_key", "id": reference})
        return await self.revoke(found, by)

    async def revoke(self, key: ApiKey, by: Actor) -> ApiKey:
        """Takes a key back for good."""
        revoked = msgspec.structs.replace(key, revoked_at=datetime.now(UTC), revoked_by=by.user_id)
        resource = ("api_key", key.key_id)
        event = event_of(by, key.organization_id, resource, "api_key_revoked", {"name": key.name})
        await self._directory.replace_key(revoked, was=key, event=event)
        self._on_change()
        return revoked


def find_by_reference(keys: tuple[ApiKey, ...], reference: str) -> ApiKey | None:
    """A key by id, else the live one of a name, else the last revoked one of it."""
    named = [key for key in keys if key.name == reference]
    live = [key for key in named if key.revoked_at is None]
    by_id = [key for key in keys if key.key_id == reference]
    return next(iter([*by_id, *live, *reversed(named)]), None)


def require_live(key: ApiKey, now: datetime) -> None:
    """Raises `BadRequest` (`key_final`) for a key that is revoked or expired: both are final."""
    status = key.status(now)
    if status != "active":
        raise BadRequest(f"The key is {status}, which is final: make a new one.", code="key_final")


def event_of(
    by: Actor, organization_id: str, resource: tuple[str, str], action: str, changes: dict[str, Any]
) -> AuditEvent:
    """An audit event; `resource` is its type and id."""
    return AuditEvent(
        audit_id=new_id("audit"),
        organization_id=organization_id,
        at=datetime.now(UTC),
        resource_type=resource[0],
        resource_id=resource[1],
        action=action,
        actor_id=by.user_id,
        actor_email=by.email,
        actor_key_name=by.key_name,
        ip_address=by.ip_address,
        user_agent=by.user_agent,
        changes=msgspec.to_builtins(changes),
    )


def _changed(
    was: R, identity: str, kind: str, action: str, by: Actor, changes: dict[str, Any]
) -> tuple[R, AuditEvent]:
    stamp = {} if isinstance(was, ApiKey) else {"updated_at": datetime.now(UTC)}
    now = msgspec.structs.replace(was, **changes, **stamp)
    before, after = _told(was), _told(now)
    told = {
        name: {"old": before.get(name), "new": after[name]}
        for name in after
        if after[name] != before.get(name)
    }
    organization_id: str = getattr(was, "organization_id")  # noqa: B009 - every record has one, `Struct` does not say so
    return now, event_of(by, organization_id, (kind, identity), action, told)


def _told(record: Struct) -> dict[str, Any]:
    """The fields of a record that the audit log may tell: listed, so that nothing new slips in."""
    fields = record.__struct_fields__
    return {
        name: msgspec.to_builtins(getattr(record, name)) for name in (*_TOLD, *_TOLD_TOO) if name in fields
    }


def _require_future(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise BadRequest("A key must expire in the future.", code="key_expiry_invalid")
