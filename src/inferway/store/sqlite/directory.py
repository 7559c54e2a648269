"""Organizations, namespaces, users and keys in SQLite."""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from inferway.access.directory import Founding
from inferway.access.records import ApiKey, Namespace, Organization, Permission, User
from inferway.errors import BadRequest
from inferway.store.sqlite.database import Database
from inferway.store.sqlite.moments import to_microseconds, to_moment

_FIND_KEY = (
    "SELECT key_id, organization_id, user_id, name, digest, prefix, permission, created_at, expires_at, revoked_at "
    "FROM api_keys WHERE digest = ?"
)
_LIST_KEYS = (
    "SELECT key_id, organization_id, user_id, name, digest, prefix, permission, created_at, expires_at, revoked_at "
    "FROM api_keys WHERE organization_id = ? ORDER BY created_at, key_id"
)
_INSERT_KEY = (
    "INSERT INTO api_keys "
    "(key_id, organization_id, user_id, name, digest, prefix, permission, created_at, expires_at, revoked_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
T = TypeVar("T")


class SqliteDirectory:
    """The `Directory` of access over one database file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def generation(self) -> int:
        """See `Directory`."""
        return int((await self._rows("SELECT generation FROM access_state"))[0][0])

    async def found(self, founding: Founding) -> bool:
        """See `Directory`."""

        def insert(connection: sqlite3.Connection) -> bool:
            if connection.execute("SELECT 1 FROM organizations LIMIT 1").fetchone():
                return False
            organization = founding.organization
            connection.execute(
                "INSERT INTO organizations (organization_id, name, created_at) VALUES (?, ?, ?)",
                (organization.organization_id, organization.name, _microseconds(organization.created_at)),
            )
            _insert_namespace(connection, founding.namespace)
            _insert_user(connection, founding.user)
            for key in founding.keys:
                _insert_key(connection, key)
            return True

        return await self._change(insert, taken="organization_taken")

    async def list_organizations(self) -> tuple[Organization, ...]:
        """See `Directory`."""
        rows = await self._rows(
            "SELECT organization_id, name, created_at FROM organizations ORDER BY created_at"
        )
        return tuple(
            Organization(organization_id=row[0], name=row[1], created_at=to_moment(row[2])) for row in rows
        )

    async def find_key(self, digest: bytes) -> ApiKey | None:
        """See `Directory`."""
        rows = await self._rows(_FIND_KEY, digest)
        return _key(rows[0]) if rows else None

    async def find_user(self, organization_id: str, email: str) -> User | None:
        """See `Directory`."""
        rows = await self._rows(
            "SELECT user_id, organization_id, email, created_at FROM users WHERE organization_id = ? AND email = ?",
            organization_id,
            email,
        )
        return _user(rows[0]) if rows else None

    async def find_namespace(self, organization_id: str, reference: str) -> Namespace | None:
        """See `Directory`."""
        rows = await self._rows(
            "SELECT namespace_id, organization_id, name, created_at FROM namespaces "
            "WHERE organization_id = ?1 AND (namespace_id = ?2 OR name = ?2)",
            organization_id,
            reference,
        )
        return _namespace(rows[0]) if rows else None

    async def list_namespaces(self, organization_id: str) -> tuple[Namespace, ...]:
        """See `Directory`."""
        rows = await self._rows(
            "SELECT namespace_id, organization_id, name, created_at FROM namespaces "
            "WHERE organization_id = ? ORDER BY created_at, namespace_id",
            organization_id,
        )
        return tuple(map(_namespace, rows))

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]:
        """See `Directory`."""
        rows = await self._rows(_LIST_KEYS, organization_id)
        return tuple(map(_key, rows))

    async def add_namespace(self, namespace: Namespace) -> None:
        """See `Directory`."""
        await self._change(
            lambda connection: _insert_namespace(connection, namespace), taken="namespace_name_taken"
        )

    async def add_user(self, user: User) -> None:
        """See `Directory`."""
        await self._change(lambda connection: _insert_user(connection, user), taken="user_taken")

    async def add_key(self, key: ApiKey) -> None:
        """See `Directory`."""
        await self._change(lambda connection: _insert_key(connection, key), taken="key_name_taken")

    async def replace_key(self, key: ApiKey) -> None:
        """See `Directory`."""
        values = (
            key.name,
            str(key.permission),
            _microseconds(key.expires_at),
            _microseconds(key.revoked_at),
            key.key_id,
        )
        await self._change(
            lambda connection: connection.execute(
                "UPDATE api_keys SET name = ?, permission = ?, expires_at = ?, revoked_at = ? WHERE key_id = ?",
                values,
            ),
            taken="key_name_taken",
        )

    async def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: connection.execute(query, values).fetchall())

    async def _change(self, function: Callable[[sqlite3.Connection], T], *, taken: str) -> T:
        """Makes a change and counts it in the same transaction, so that no other process can miss it."""

        def counted(connection: sqlite3.Connection) -> T:
            answer = function(connection)
            connection.execute("UPDATE access_state SET generation = generation + 1")
            return answer

        try:
            return await self._database.write(counted)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname != "SQLITE_CONSTRAINT_UNIQUE":
                raise
            raise BadRequest("That name is taken.", code=taken) from None


def _insert_namespace(connection: sqlite3.Connection, namespace: Namespace) -> None:
    connection.execute(
        "INSERT INTO namespaces (namespace_id, organization_id, name, created_at) VALUES (?, ?, ?, ?)",
        (
            namespace.namespace_id,
            namespace.organization_id,
            namespace.name,
            _microseconds(namespace.created_at),
        ),
    )


def _insert_user(connection: sqlite3.Connection, user: User) -> None:
    connection.execute(
        "INSERT INTO users (user_id, organization_id, email, created_at) VALUES (?, ?, ?, ?)",
        (user.user_id, user.organization_id, user.email, _microseconds(user.created_at)),
    )


def _insert_key(connection: sqlite3.Connection, key: ApiKey) -> None:
    connection.execute(
        _INSERT_KEY,
        (
            key.key_id,
            key.organization_id,
            key.user_id,
            key.name,
            key.digest,
            key.prefix,
            str(key.permission),
            _microseconds(key.created_at),
            _microseconds(key.expires_at),
            _microseconds(key.revoked_at),
        ),
    )


def _key(row: tuple[Any, ...]) -> ApiKey:
    return ApiKey(
        key_id=row[0],
        organization_id=row[1],
        user_id=row[2],
        name=row[3],
        digest=row[4],
        prefix=row[5],
        permission=Permission(row[6]),
        created_at=to_moment(row[7]),
        expires_at=to_moment(row[8]) if row[8] is not None else None,
        revoked_at=to_moment(row[9]) if row[9] is not None else None,
    )


def _namespace(row: tuple[Any, ...]) -> Namespace:
    return Namespace(namespace_id=row[0], organization_id=row[1], name=row[2], created_at=to_moment(row[3]))


def _user(row: tuple[Any, ...]) -> User:
    return User(user_id=row[0], organization_id=row[1], email=row[2], created_at=to_moment(row[3]))


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)
