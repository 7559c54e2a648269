"""Organizations, namespaces, users, keys, secrets and the audit log in SQLite."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from inferway.access.directory import AuditFilter, Founding
from inferway.access.records import ApiKey, AuditEvent, Namespace, Organization, User
from inferway.access.secrets import SealedSecret
from inferway.errors import Conflict
from inferway.store.sqlite.database import Database
from inferway.store.sqlite.moments import to_microseconds
from inferway.store.sqlite.rows import Table

R = TypeVar("R", bound=Struct)
T = TypeVar("T")


class SqliteDirectory:
    """The `Directory` of access over one database file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._organizations = Table(Organization, "organizations", "organization_id")
        self._namespaces = Table(Namespace, "namespaces", "namespace_id")
        self._users = Table(User, "users", "user_id")
        self._keys = Table(ApiKey, "api_keys", "key_id", unwritten=("last_used_at",))
        self._secrets = Table(SealedSecret, "secrets", "secret_id")
        self._events = Table(AuditEvent, "audit_events", "audit_id")

    async def generation(self) -> int:
        """See `Directory`."""
        rows = await self._database.read(
            lambda connection: connection.execute("SELECT generation FROM access_state").fetchall()
        )
        return int(rows[0][0])

    async def found(self, founding: Founding) -> bool:
        """See `Directory`."""

        def insert(connection: sqlite3.Connection) -> bool:
            if connection.execute("SELECT 1 FROM organizations LIMIT 1").fetchone():
                return False
            self._insert_tenant(connection, founding)
            return True

        return await self._change(insert, taken="organization_taken")

    async def add_tenant(self, founding: Founding) -> None:
        """See `Directory`."""
        await self._change(
            lambda connection: self._insert_tenant(connection, founding), taken="organization_taken"
        )

    def _insert_tenant(self, connection: sqlite3.Connection, founding: Founding) -> None:
        self._organizations.insert(connection, founding.organization)
        self._namespaces.insert(connection, founding.namespace)
        self._users.insert(connection, founding.user)
        for key in founding.keys:
            self._keys.insert(connection, key)

    async def list_organizations(self) -> tuple[Organization, ...]:
        """See `Directory`."""
        return await self._select(self._organizations, "ORDER BY created_at, organization_id")

    async def find_organization(self, organization_id: str) -> Organization | None:
        """See `Directory`."""
        return await self._find(self._organizations, "WHERE organization_id = ?", organization_id)

    async def replace_organization(
        self, organization: Organization, *, was: Organization, event: AuditEvent | None = None
    ) -> None:
        """See `Directory`."""
        await self._replace(self._organizations, organization, was, event, taken="organization_taken")

    async def find_key(self, digest: bytes) -> ApiKey | None:
        """See `Directory`."""
        return await self._find(self._keys, "WHERE digest = ?1 OR previous_digest = ?1", digest)

    async def find_user(self, organization_id: str, email: str) -> User | None:
        """See `Directory`."""
        return await self._find(
            self._users, "WHERE organization_id = ? AND email = ?", organization_id, email
        )

    async def find_user_by_id(self, user_id: str) -> User | None:
        """See `Directory`."""
        return await self._find(self._users, "WHERE user_id = ?", user_id)

    async def list_users(self, organization_id: str) -> tuple[User, ...]:
        """See `Directory`."""
        return await self._select(
            self._users, "WHERE organization_id = ? ORDER BY created_at, user_id", organization_id
        )

    async def find_namespace(self, organization_id: str, reference: str) -> Namespace | None:
        """See `Directory`."""
        where = "WHERE organization_id = ?1 AND (namespace_id = ?2 OR name = ?2)"
        return await self._find(self._namespaces, where, organization_id, reference)

    async def list_namespaces(self, organization_id: str) -> tuple[Namespace, ...]:
        """See `Directory`."""
        where = "WHERE organization_id = ? ORDER BY created_at, namespace_id"
        return await self._select(self._namespaces, where, organization_id)

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]:
        """See `Directory`."""
        return await self._select(
            self._keys, "WHERE organization_id = ? ORDER BY created_at, key_id", organization_id
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
        await self._change(lambda connection: self._namespaces.delete(connection, namespace), event=event)

    async def add_user(self, user: User, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._add(self._users, user, event, taken="user_taken")

    async def replace_user(self, user: User, *, was: User, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._replace(self._users, user, was, event, taken="user_taken")

    async def remove_user(self, user: User, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""

        def remove(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM api_keys WHERE user_id = ?", (user.user_id,))
            self._users.delete(connection, user)

        await self._change(remove, event=event)

    async def add_key(self, key: ApiKey, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._add(self._keys, key, event, taken="key_name_taken")

    async def replace_key(self, key: ApiKey, *, was: ApiKey, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._replace(self._keys, key, was, event, taken="key_name_taken")

    async def touch_keys(self, used: Mapping[str, datetime]) -> None:
        """See `Directory`."""
        rows = [(to_microseconds(moment), key_id) for key_id, moment in used.items()]
        query = "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE key_id = ?"
        await self._database.write(lambda connection: connection.executemany(query, rows))

    async def find_secret(self, organization_id: str, name: str) -> SealedSecret | None:
        """See `Directory`."""
        return await self._find(
            self._secrets, "WHERE organization_id = ? AND name = ?", organization_id, name
        )

    async def list_secrets(self, organization_id: str | None) -> tuple[SealedSecret, ...]:
        """See `Directory`."""
        where = "WHERE ?1 IS NULL OR organization_id = ?1 ORDER BY name, secret_id"
        return await self._select(self._secrets, where, organization_id)

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

        def replace(connection: sqlite3.Connection) -> None:
            for was, secret in pairs:
                self._secrets.replace(connection, secret, was)

        await self._change(replace, event=event)

    async def remove_secret(self, secret: SealedSecret, *, event: AuditEvent | None = None) -> None:
        """See `Directory`."""
        await self._change(lambda connection: self._secrets.delete(connection, secret), event=event)

    async def list_events(
        self, organization_id: str, wanted: AuditFilter, *, skip: int, limit: int
    ) -> tuple[tuple[AuditEvent, ...], int]:
        """See `Directory`."""
        where, values = _audit_clause(organization_id, wanted)

        def select(connection: sqlite3.Connection) -> tuple[tuple[AuditEvent, ...], int]:
            counted = "SELECT count(*) FROM audit_events " + where  # noqa: S608 - a clause of constants
            total = connection.execute(counted, values).fetchone()[0]
            order = " ORDER BY at DESC, audit_id DESC LIMIT ? OFFSET ?"
            return self._events.select(connection, where + order, *values, limit, skip), int(total)

        return await self._database.read(select)

    async def find_event(self, organization_id: str, audit_id: str) -> AuditEvent | None:
        """See `Directory`."""
        where = "WHERE organization_id = ? AND audit_id = ?"
        return await self._find(self._events, where, organization_id, audit_id)

    async def _select(self, table: Table[R], where: str, *values: object) -> tuple[R, ...]:
        return await self._database.read(lambda connection: table.select(connection, where, *values))

    async def _find(self, table: Table[R], where: str, *values: object) -> R | None:
        found = await self._select(table, where, *values)
        return found[0] if found else None

    async def _add(self, table: Table[R], record: R, event: AuditEvent | None, *, taken: str) -> None:
        await self._change(lambda connection: table.insert(connection, record), event=event, taken=taken)

    async def _replace(
        self, table: Table[R], record: R, was: R, event: AuditEvent | None, *, taken: str
    ) -> None:
        await self._change(
            lambda connection: table.replace(connection, record, was), event=event, taken=taken
        )

    async def _change(
        self,
        function: Callable[[sqlite3.Connection], T],
        *,
        event: AuditEvent | None = None,
        taken: str = "name_taken",
    ) -> T:
        """Makes a change and counts it in the same transaction, so that no other process can miss it."""

        def counted(connection: sqlite3.Connection) -> T:
            answer = function(connection)
            if event is not None:
                self._events.insert(connection, event)
            connection.execute("UPDATE access_state SET generation = generation + 1")
            return answer

        try:
            return await self._database.write(counted)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname != "SQLITE_CONSTRAINT_UNIQUE":
                raise
            raise Conflict("That name is taken.", code=taken) from None


def _audit_clause(organization_id: str, wanted: AuditFilter) -> tuple[str, list[Any]]:
    """The clause that picks audit events, and its values."""
    parts, values = ["organization_id = ?"], [organization_id]
    for field in ("resource_type", "resource_id", "actor_id", "action"):
        value = getattr(wanted, field)
        if value is not None:
            parts.append(f"{field} = ?")
            values.append(value)
    bounds: list[Any] = []
    for sign, moment in ((">=", wanted.start), ("<", wanted.end)):
        if moment is not None:
            parts.append(f"at {sign} ?")
            bounds.append(to_microseconds(moment))
    return "WHERE " + " AND ".join(parts), [*values, *bounds]
