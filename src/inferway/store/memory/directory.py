"""Organizations, namespaces, users, keys, secrets and the audit log in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from inferway.access.directory import AuditFilter, Founding
from inferway.access.records import ApiKey, AuditEvent, Namespace, Organization, Session, User, signed_in
from inferway.access.secrets import SealedSecret
from inferway.errors import Conflict, NotFound, StoreUnavailable

R = TypeVar("R", bound=Struct)


class MemoryDirectory:
    """The `Directory` of access in this process's memory. `is_away` makes every method raise, as a lost database does."""

    def __init__(self) -> None:
        self.is_away = False
        self.reads = 0
        self._generation = 0
        self._organizations: dict[str, Organization] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._users: dict[str, User] = {}
        self._keys: dict[str, ApiKey] = {}
        self._secrets: dict[str, SealedSecret] = {}
        self._events: dict[str, AuditEvent] = {}
        self._sessions: dict[bytes, Session] = {}

    async def generation(self) -> int:
        """See `Directory`."""
        self._require()
        return self._generation

    async def found(self, founding: Founding) -> bool:
        """See `Directory`."""
        self._require()
        if self._organizations:
            return False
        await self.add_tenant(founding)
        return True

    async def add_tenant(self, founding: Founding) -> None:
        """See `Directory`."""
        self._require()
        self._organizations[founding.organization.organization_id] = founding.organization
        await self.add_namespace(founding.namespace)
        await self.add_user(founding.user)
        for key in founding.keys:
            await self.add_key(key)

    async def list_organizations(self) -> tuple[Organization, ...]:
        """See `Directory`."""
        self._require()
        return tuple(self._organizations.values())

    async def find_organization(self, organization_id: str) -> Organization | None:
        """See `Directory`."""
        self._require()
        return self._organizations.get(organization_id)

    async def replace_organization(
        self, organization: Organization, *, was: Organization, event: AuditEvent | None = None
    ) -> None:
        """See `Directory`."""
        self._replace(self._organizations, was.organization_id, organization, was, event)

    async def find_key(self, digest: bytes) -> ApiKey | None:
        """See `Directory`."""
        self._require()
        self.reads += 1
        session = self._sessions.get(digest)
        if session is not None and session.kind == "session":
            key = self._keys.get(session.key_id)
            return None if key is None else signed_in(key, session)
        return next((key for key in self._keys.values() if digest in (key.digest, key.previous_digest)), None)

    async def list_digests(self, limit: int) -> tuple[bytes, ...]:
        """See `Directory`."""
        self._require()
        self.reads += 1
        pairs = [(key.digest, key.previous_digest) for key in self._keys.values()]
        own = [digest for pair in pairs for digest in pair if digest is not None]
        return (*own, *self._sessions)[:limit]

    async def find_user(self, organization_id: str, email: str) -> User | None:
        """See `Directory`."""
        self._require()
        return next((user for user in self._users.values() if _same_user(user, organization_id, email)), None)

    async def find_user_by_id(self, user_id: str) -> User | None:
        """See `Directory`."""
        self._require()
        return self._users.get(user_id)

    async def list_users(self, organization_id: str) -> tuple[User, ...]:
        """See `Directory`."""
        self._require()
        return tuple(user for user in self._users.values() if user.organization_id == organization_id)

    async def find_namespace(self, organization_id: str, reference: str) -> Namespace | None:
        """See `Directory`."""
        return next(
            (
                each
                for each in await self.list_namespaces(organization_id)
                if reference in (each.namespace_id, each.name)
            ),
            None,
        )

    async def list_namespaces(self, organization_id: str) -> tuple[Namespace, ...]:
        """See `Directory`."""
        self._require()
        self.reads += 1
        return tuple(each for each in self._namespaces.values() if each.organization_id == organization_id)

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]:
        """See `Directory`."""
        self._require()
        return tuple(key for key in self._keys.values() if key.organization_id == organization_id)

    async def add_namespace(self, namespace: Namespace, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        self._require_free_namespace(namespace)
        self._namespaces[namespace.namespace_id] = namespace
        self._changed(event)

    async def replace_namespace(
        self, namespace: Namespace, *, was: Namespace, event: AuditEvent | None = None
    ) -> None:
        """See `Directory`."""
        self._require_free_namespace(namespace)
        self._replace(self._namespaces, was.namespace_id, namespace, was, event)

    async def remove_namespace(self, namespace: Namespace, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        self._remove(self._namespaces, namespace.namespace_id, event)

    async def add_user(self, user: User, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        if await self.find_user(user.organization_id, user.email):
            raise Conflict("That name is taken.", code="user_taken")
        self._users[user.user_id] = user
        self._changed(event)

    async def replace_user(self, user: User, *, was: User, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        self._replace(self._users, was.user_id, user, was, event)

    async def remove_user(self, user: User, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        self._require()
        self._keys = {name: key for name, key in self._keys.items() if key.user_id != user.user_id}
        self._remove(self._users, user.user_id, event)

    async def add_key(self, key: ApiKey, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        self._require()
        if key.user_id not in self._users:
            raise NotFound("There is no such user.", code="user_not_found")
        self._require_free_key(key)
        self._keys[key.key_id] = key
        self._changed(event)

    async def replace_key(self, key: ApiKey, *, was: ApiKey, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        self._require()
        self._require_free_key(key)
        stored = self._keys.get(was.key_id)
        used = stored.last_used_at if stored else None
        if key.digest != was.digest:
            self._sessions = {
                digest: each for digest, each in self._sessions.items() if each.key_id != key.key_id
            }
        self._replace(
            self._keys,
            was.key_id,
            msgspec.structs.replace(key, last_used_at=used),
            msgspec.structs.replace(was, last_used_at=used),
            event,
        )

    async def touch_keys(self, used: Mapping[str, datetime]) -> None:
        """See `Directory`."""
        self._require()
        for key_id, moment in used.items():
            key = self._keys.get(key_id)
            if key is not None and (key.last_used_at is None or key.last_used_at < moment):
                self._keys[key_id] = msgspec.structs.replace(key, last_used_at=moment)

    async def find_secret(self, organization_id: str, name: str) -> SealedSecret | None:
        """See `Directory`."""
        found = await self.list_secrets(organization_id)
        return next((secret for secret in found if secret.name == name), None)

    async def list_secrets(self, organization_id: str | None) -> tuple[SealedSecret, ...]:
        """See `Directory`."""
        self._require()
        found = [each for each in self._secrets.values() if organization_id in (None, each.organization_id)]
        return tuple(sorted(found, key=lambda each: (each.name, each.secret_id)))

    async def add_secret(self, secret: SealedSecret, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        if await self.find_secret(secret.organization_id, secret.name):
            raise Conflict("That name is taken.", code="secret_name_taken")
        self._secrets[secret.secret_id] = secret
        self._changed(event)

    async def replace_secrets(
        self,
        pairs: Sequence[tuple[SealedSecret, SealedSecret]],
        *,
        event: AuditEvent | None = None,
    ) -> None:
        """See `Directory`."""
        self._require()
        if any(self._secrets.get(was.secret_id) != was for was, _ in pairs):
            raise _changed_meanwhile()
        self._secrets |= {secret.secret_id: secret for _, secret in pairs}
        self._changed(event)

    async def remove_secret(self, secret: SealedSecret, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        self._remove(self._secrets, secret.secret_id, event)

    async def add_session(self, session: Session) -> None:
        """See `Directory`."""
        self._require()
        live = {
            digest: each for digest, each in self._sessions.items() if each.expires_at >= session.created_at
        }
        if session.digest in live:
            raise Conflict("That was used already.", code="session_taken")
        self._sessions = live | {session.digest: session}
        self._changed(None)

    async def find_session(self, digest: bytes) -> Session | None:
        """See `Directory`."""
        self._require()
        return self._sessions.get(digest)

    async def remove_session(self, session: Session) -> None:
        """See `Directory`."""
        self._require()
        self._sessions.pop(session.digest, None)
        self._changed(None)

    async def add_event(self, event: AuditEvent) -> None:
        """See `Directory`."""
        self._require()
        self._events[event.audit_id] = event

    async def list_events(
        self, organization_id: str, wanted: AuditFilter, *, skip: int, limit: int
    ) -> tuple[tuple[AuditEvent, ...], int]:
        """See `Directory`."""
        self._require()
        found = [
            event
            for event in self._events.values()
            if event.organization_id == organization_id and _is_wanted(event, wanted)
        ]
        found.sort(key=lambda event: (event.at, event.audit_id), reverse=True)
        return tuple(found[skip : skip + limit]), len(found)

    async def find_event(self, organization_id: str, audit_id: str) -> AuditEvent | None:
        """See `Directory`."""
        self._require()
        event = self._events.get(audit_id)
        return event if event is not None and event.organization_id == organization_id else None

    def _replace(self, rows: dict[str, R], key: str, record: R, was: R, event: AuditEvent | None) -> None:
        self._require()
        if rows.get(key) != was:
            raise _changed_meanwhile()
        rows[key] = record
        self._changed(event)

    def _remove(self, rows: dict[str, Any], key: str, event: AuditEvent | None) -> None:
        self._require()
        rows.pop(key, None)
        self._changed(event)

    def _changed(self, event: AuditEvent | None) -> None:
        if event is not None:
            self._events[event.audit_id] = event
        self._generation += 1

    def _require_free_namespace(self, namespace: Namespace) -> None:
        self._require()
        if any(
            (each.organization_id, each.name) == (namespace.organization_id, namespace.name)
            and each.namespace_id != namespace.namespace_id
            for each in self._namespaces.values()
        ):
            raise Conflict("That name is taken.", code="namespace_name_taken")

    def _require_free_key(self, key: ApiKey) -> None:
        others = (
            each for each in self._keys.values() if each.key_id != key.key_id and each.revoked_at is None
        )
        if key.revoked_at is None and any(
            (each.user_id, each.name) == (key.user_id, key.name) for each in others
        ):
            raise Conflict("That name is taken.", code="key_name_taken")

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("The database cannot be used right now.", retry_after_s=5)


def _same_user(user: User, organization_id: str, email: str) -> bool:
    return user.organization_id == organization_id and user.email.lower() == email.lower()


def _changed_meanwhile() -> Conflict:
    return Conflict("This was changed by somebody else meanwhile: look again.", code="changed_meanwhile")


def _is_wanted(event: AuditEvent, wanted: AuditFilter) -> bool:
    fields = ("resource_type", "resource_id", "actor_id", "action")
    if any(getattr(wanted, name) not in (None, getattr(event, name)) for name in fields):
        return False
    return (wanted.start is None or wanted.start <= event.at) and (
        wanted.end is None or event.at < wanted.end
    )
