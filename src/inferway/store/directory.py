"""Organizations, namespaces, users, keys, secrets and the audit log in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from inferway.access.directory import AuditFilter, Founding
from inferway.access.records import ApiKey, AuditEvent, Namespace, Organization, Session, User, signed_in
from inferway.access.secrets import SealedSecret
from inferway.errors import Conflict, NotFound
from inferway.store.moments import to_microseconds
from inferway.store.rows import Table
from inferway.store.work import Each, SqlDatabase, Taken, Work, ask

R = TypeVar("R", bound=Struct)
T = TypeVar("T")


class SqlDirectory:
    """The `Directory` of access over a database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._organizations = Table(Organization, "organizations", "organization_id")
        self._namespaces = Table(Namespace, "namespaces", "namespace_id")
        self._users = Table(User, "users", "user_id")
        self._keys = Table(ApiKey, "api_keys", "key_id", unwritten=("last_used_at",))
        self._secrets = Table(SealedSecret, "secrets", "secret_id")
        self._sessions = Table(Session, "sessions", "digest")
        self._events = Table(AuditEvent, "audit_events", "audit_id")

    async def generation(self) -> int:
        """See `Directory`."""
        rows = await self._database.select("SELECT generation FROM access_state")
        return int(rows[0][0])

    async def found(self, founding: Founding) -> bool:
        """See `Directory`."""

        def insert() -> Work[bool]:
            if (yield ask("SELECT 1 FROM organizations LIMIT 1")):
                return False
            yield from self._insert_tenant(founding)
            return True

        return await self._change(insert(), taken="organization_taken")

    async def add_tenant(self, founding: Founding) -> None:
        """See `Directory`."""
        await self._change(self._insert_tenant(founding), taken="organization_taken")

    def _insert_tenant(self, founding: Founding) -> Work[None]:
        yield from self._organizations.insert(founding.organization)
        yield from self._namespaces.insert(founding.namespace)
        yield from self._users.insert(founding.user)
        for key in founding.keys:
            yield from self._keys.insert(key)

    async def list_organizations(self) -> tuple[Organization, ...]:
        """See `Directory`."""
        return await self._select(self._organizations, "ORDER BY created_at, organization_id")

    async def find_organization(self, organization_id: str) -> Organization | None:
        """See `Directory`."""
        return await self._find(self._organizations, "WHERE organization_id = $1", organization_id)

    async def replace_organization(
        self, organization: Organization, *, was: Organization, event: AuditEvent | None = None
    ) -> None:
        """See `Directory`."""
        await self._replace(self._organizations, organization, was, event, taken="organization_taken")

    async def find_key(self, digest: bytes) -> ApiKey | None:
        """See `Directory`."""
        found = await self._find(self._keys, "WHERE digest = $1 OR previous_digest = $1", digest)
        if found is not None:
            return found
        session = await self.find_session(digest)
        if session is None or session.kind != "session":
            return None
        key = await self._find(self._keys, "WHERE key_id = $1", session.key_id)
        return None if key is None else signed_in(key, session)

    async def list_digests(self, limit: int) -> tuple[bytes, ...]:
        """See `Directory`."""
        rows = await self._database.select(
            "SELECT digest FROM api_keys UNION SELECT previous_digest FROM api_keys WHERE previous_digest IS NOT NULL"
            " UNION SELECT digest FROM sessions LIMIT $1",
            limit,
        )
        return tuple(bytes(row["digest"]) for row in rows)

    async def find_user(self, organization_id: str, email: str) -> User | None:
        """See `Directory`."""
        where = "WHERE organization_id = $1 AND lower(email) = lower($2)"
        return await self._find(self._users, where, organization_id, email)

    async def find_user_by_id(self, user_id: str) -> User | None:
        """See `Directory`."""
        return await self._find(self._users, "WHERE user_id = $1", user_id)

    async def list_users(self, organization_id: str) -> tuple[User, ...]:
        """See `Directory`."""
        return await self._select(
            self._users, "WHERE organization_id = $1 ORDER BY created_at, user_id", organization_id
        )

    async def find_namespace(self, organization_id: str, reference: str) -> Namespace | None:
        """See `Directory`."""
        where = "WHERE organization_id = $1 AND (namespace_id = $2 OR name = $2)"
        return await self._find(self._namespaces, where, organization_id, reference)

    async def list_namespaces(self, organization_id: str) -> tuple[Namespace, ...]:
        """See `Directory`."""
        where = "WHERE organization_id = $1 ORDER BY created_at, namespace_id"
        return await self._select(self._namespaces, where, organization_id)

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]:
        """See `Directory`."""
        return await self._select(
            self._keys, "WHERE organization_id = $1 ORDER BY created_at, key_id", organization_id
        )

    async def add_namespace(self, namespace: Namespace, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._add(self._namespaces, namespace, event, taken="namespace_name_taken")

    async def replace_namespace(
        self, namespace: Namespace, *, was: Namespace, event: AuditEvent | None = None
    ) -> None:
        """See `Directory`."""
        await self._replace(self._namespaces, namespace, was, event, taken="namespace_name_taken")

    async def remove_namespace(self, namespace: Namespace, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._change(self._namespaces.delete(namespace), event=event)

    async def add_user(self, user: User, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._add(self._users, user, event, taken="user_taken")

    async def replace_user(self, user: User, *, was: User, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._replace(self._users, user, was, event, taken="user_taken")

    async def remove_user(self, user: User, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""

        def remove() -> Work[None]:
            yield ask("DELETE FROM api_keys WHERE user_id = $1", user.user_id)
            yield from self._users.delete(user)

        await self._change(remove(), event=event)

    async def add_key(self, key: ApiKey, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""

        def add() -> Work[None]:
            if not (yield ask("SELECT 1 FROM users WHERE user_id = $1", key.user_id)):
                raise NotFound("There is no such user.", code="user_not_found")
            yield from self._keys.insert(key)

        await self._change(add(), event=event, taken="key_name_taken")

    async def replace_key(self, key: ApiKey, *, was: ApiKey, event: AuditEvent | None = None) -> None:
        """See `Directory`."""

        def replace() -> Work[None]:
            yield from self._keys.replace(key, was)
            if key.digest != was.digest:
                yield ask("DELETE FROM sessions WHERE key_id = $1", key.key_id)

        await self._change(replace(), event=event, taken="key_name_taken")

    async def touch_keys(self, used: Mapping[str, datetime]) -> None:
        """See `Directory`."""
        rows = [(to_microseconds(moment), key_id) for key_id, moment in used.items()]
        # In the order of the keys, so that two processes that note the same ones never wait for one another in a circle.
        rows.sort(key=lambda row: row[1])

        def note() -> Work[None]:
            yield Each(
                "UPDATE api_keys SET last_used_at = $1 WHERE key_id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
                rows,
            )

        await self._database.change(note())

    async def find_secret(self, organization_id: str, name: str) -> SealedSecret | None:
        """See `Directory`."""
        return await self._find(
            self._secrets, "WHERE organization_id = $1 AND name = $2", organization_id, name
        )

    async def list_secrets(self, organization_id: str | None) -> tuple[SealedSecret, ...]:
        """See `Directory`."""
        where, values = (
            ("", ()) if organization_id is None else ("WHERE organization_id = $1", (organization_id,))
        )
        found = await self._select(self._secrets, where, *values)
        # Here, as databases order texts by different rules.
        return tuple(sorted(found, key=lambda secret: (secret.name, secret.secret_id)))

    async def add_secret(self, secret: SealedSecret, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._add(self._secrets, secret, event, taken="secret_name_taken")

    async def replace_secrets(
        self,
        pairs: Sequence[tuple[SealedSecret, SealedSecret]],
        *,
        event: AuditEvent | None = None,
    ) -> None:
        """See `Directory`."""

        def replace() -> Work[None]:
            for was, secret in pairs:
                yield from self._secrets.replace(secret, was)

        await self._change(replace(), event=event)

    async def remove_secret(self, secret: SealedSecret, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._change(self._secrets.delete(secret), event=event)

    async def add_session(self, session: Session) -> None:
        """See `Directory`."""

        def add() -> Work[None]:
            yield ask("DELETE FROM sessions WHERE expires_at < $1", to_microseconds(session.created_at))
            yield from self._sessions.insert(session)

        # Counted as every change is: a list of all texts that a process holds must not leave out the new one.
        await self._change(add(), taken="session_taken")

    async def find_session(self, digest: bytes) -> Session | None:
        """See `Directory`."""
        return await self._find(self._sessions, "WHERE digest = $1", digest)

    async def remove_session(self, session: Session) -> None:
        """See `Directory`."""
        await self._change(self._sessions.delete(session))

    async def add_event(self, event: AuditEvent) -> None:
        """See `Directory`."""
        await self._database.change(self._events.insert(event))

    async def list_events(
        self, organization_id: str, wanted: AuditFilter, *, skip: int, limit: int
    ) -> tuple[tuple[AuditEvent, ...], int]:
        """See `Directory`."""
        where, values = _audit_clause(organization_id, wanted)
        counted = "SELECT count(*) FROM audit_events " + where  # noqa: S608 - a clause of constants
        total = (await self._database.select(counted, *values))[0][0]
        order = f" ORDER BY at DESC, audit_id DESC LIMIT ${len(values) + 1} OFFSET ${len(values) + 2}"
        return await self._select(self._events, where + order, *values, limit, skip), int(total)

    async def find_event(self, organization_id: str, audit_id: str) -> AuditEvent | None:
        """See `Directory`."""
        where = "WHERE organization_id = $1 AND audit_id = $2"
        return await self._find(self._events, where, organization_id, audit_id)

    async def _select(self, table: Table[R], where: str, *values: object) -> tuple[R, ...]:
        return await table.select(self._database, where, *values)

    async def _find(self, table: Table[R], where: str, *values: object) -> R | None:
        found = await self._select(table, where, *values)
        return found[0] if found else None

    async def _add(self, table: Table[R], record: R, event: AuditEvent | None, *, taken: str) -> None:
        await self._change(table.insert(record), event=event, taken=taken)

    async def _replace(
        self, table: Table[R], record: R, was: R, event: AuditEvent | None, *, taken: str
    ) -> None:
        await self._change(table.replace(record, was), event=event, taken=taken)

    async def _change(
        self, work: Work[T], *, event: AuditEvent | None = None, taken: str = "name_taken"
    ) -> T:
        """Makes a change and counts it in the same transaction, so that no other process can miss it."""

        def counted() -> Work[T]:
            # First, as whoever changes this row is alone until the end of the transaction: what is read then is what is replaced.
            yield ask("UPDATE access_state SET generation = generation + 1")
            answer = yield from work
            if event is not None:
                yield from self._events.insert(event)
            return answer

        try:
            return await self._database.change(counted())
        except Taken:
            raise Conflict("That name is taken.", code=taken) from None


def _audit_clause(organization_id: str, wanted: AuditFilter) -> tuple[str, list[Any]]:
    """The clause that picks audit events, and its values."""
    start, end = (None if each is None else to_microseconds(each) for each in (wanted.start, wanted.end))
    conditions = {
        "organization_id =": organization_id,
        "resource_type =": wanted.resource_type,
        "resource_id =": wanted.resource_id,
        "actor_id =": wanted.actor_id,
        "action =": wanted.action,
        "at >=": start,
        "at <": end,
    }
    chosen = {condition: value for condition, value in conditions.items() if value is not None}
    clauses = [f"{condition} ${number}" for number, condition in enumerate(chosen, 1)]
    return "WHERE " + " AND ".join(clauses), list(chosen.values())
