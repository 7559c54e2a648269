"""What access asks of a store."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from inferway.access.records import ApiKey, AuditEvent, Namespace, Organization, Session, User
from inferway.access.secrets import SealedSecret


class Founding(Struct, frozen=True, kw_only=True):
    """What a new organization begins with, stored all at once."""

    organization: Organization
    namespace: Namespace
    user: User
    keys: tuple[ApiKey, ...]


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which audit events are asked for; what is None does not matter. `start` is included, `end` is not."""

    resource_type: str | None = None
    resource_id: str | None = None
    actor_id: str | None = None
    action: str | None = None
    start: datetime | None = None
    end: datetime | None = None


class Directory(Protocol):
    """Organizations, namespaces, users, keys, secrets and the audit log. Every method raises `StoreUnavailable` while the store is away.

    Writes that would break uniqueness raise `Conflict`: `namespace_name_taken`, `key_name_taken`, `user_taken`, `secret_name_taken`. A
    replacement names the record that it was made from (`was`): when the stored one is another by now, `Conflict` (`changed_meanwhile`)
    is raised and nothing is written, so that two changes at once cannot undo one another. `event` is stored in the same transaction.
    """

    async def generation(self) -> int:
        """A number that grows with every change of any record, in whatever process it is made."""
        ...

    async def found(self, founding: Founding) -> bool:
        """Stores all of it if there is no organization yet, and says whether it did; of several callers one wins."""
        ...

    async def add_tenant(self, founding: Founding) -> None:
        """Stores another organization."""
        ...

    async def list_organizations(self) -> tuple[Organization, ...]: ...

    async def find_organization(self, organization_id: str) -> Organization | None: ...

    async def replace_organization(
        self, organization: Organization, *, was: Organization, event: AuditEvent | None = None
    ) -> None: ...

    async def find_key(self, digest: bytes) -> ApiKey | None:
        """By the SHA-256 of its text, or of the text it had before its rotation."""
        ...

    async def list_digests(self, limit: int) -> tuple[bytes, ...]:
        """The SHA-256 of all texts that keys have or had before their rotation, revoked keys included; at most so many."""
        ...

    async def find_user(self, organization_id: str, email: str) -> User | None: ...

    async def find_user_by_id(self, user_id: str) -> User | None: ...

    async def list_users(self, organization_id: str) -> tuple[User, ...]: ...

    async def find_namespace(self, organization_id: str, reference: str) -> Namespace | None:
        """By id or by name, within the organization only."""
        ...

    async def list_namespaces(self, organization_id: str) -> tuple[Namespace, ...]: ...

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]: ...

    async def add_namespace(self, namespace: Namespace, *, event: AuditEvent | None = None) -> None: ...

    async def replace_namespace(
        self, namespace: Namespace, *, was: Namespace, event: AuditEvent | None = None
    ) -> None: ...

    async def remove_namespace(self, namespace: Namespace, *, event: AuditEvent | None = None) -> None: ...

    async def add_user(self, user: User, *, event: AuditEvent | None = None) -> None: ...

    async def replace_user(self, user: User, *, was: User, event: AuditEvent | None = None) -> None: ...

    async def remove_user(self, user: User, *, event: AuditEvent | None = None) -> None:
        """Removes a user and all its keys."""
        ...

    async def add_key(self, key: ApiKey, *, event: AuditEvent | None = None) -> None:
        """Stores a new key; `NotFound` (`user_not_found`) when its user was removed meanwhile."""
        ...

    async def replace_key(self, key: ApiKey, *, was: ApiKey, event: AuditEvent | None = None) -> None:
        """Stores a changed key under its `key_id`; `last_used_at` is left as it is stored, and does not count as a change."""
        ...

    async def touch_keys(self, used: Mapping[str, datetime]) -> None:
        """Notes when keys were last used, by id; never goes back, and is not a change."""
        ...

    async def find_secret(self, organization_id: str, name: str) -> SealedSecret | None: ...

    async def list_secrets(self, organization_id: str | None) -> tuple[SealedSecret, ...]:
        """The secrets of an organization, or of all (None)."""
        ...

    async def add_secret(self, secret: SealedSecret, *, event: AuditEvent | None = None) -> None: ...

    async def replace_secrets(
        self,
        pairs: Sequence[tuple[SealedSecret, SealedSecret]],
        *,
        event: AuditEvent | None = None,
    ) -> None:
        """Replaces secrets all at once; each pair is what was stored and what takes its place."""
        ...

    async def remove_secret(self, secret: SealedSecret, *, event: AuditEvent | None = None) -> None: ...

    async def add_session(self, session: Session) -> None:
        """Stores who has signed in, and forgets sessions that have ended; `Conflict` (`session_taken`) for a text that is there already."""
        ...

    async def find_session(self, digest: bytes) -> Session | None: ...

    async def remove_session(self, session: Session) -> None: ...

    async def add_event(self, event: AuditEvent) -> None:
        """Stores an event of something that changed no record."""
        ...

    async def list_events(
        self, organization_id: str, wanted: AuditFilter, *, skip: int, limit: int
    ) -> tuple[tuple[AuditEvent, ...], int]:
        """Audit events, newest first, and how many there are in all."""
        ...

    async def find_event(self, organization_id: str, audit_id: str) -> AuditEvent | None: ...
