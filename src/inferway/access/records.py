"""The values that access is made of, as they are stored."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from inferway.access.keys import random_text
from inferway.errors import BadRequest


class Permission(StrEnum):
    """What a key may do; each level includes those before it."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"

    def includes(self, other: "Permission") -> bool:
        """Whether this level is enough where `other` is asked for."""
        return _RANK[self] >= _RANK[other]


_RANK = {Permission.READ: 0, Permission.WRITE: 1, Permission.DELETE: 2, Permission.ADMIN: 3}

KeyStatus = Literal["active", "revoked", "expired"]


class Organization(Struct, frozen=True, kw_only=True):
    """A tenant: what it owns is invisible to every other."""

    organization_id: str
    name: str
    created_at: datetime


class Namespace(Struct, frozen=True, kw_only=True):
    """A part of an organization that calls are made in; its name is unique there."""

    namespace_id: str
    organization_id: str
    name: str
    created_at: datetime


class User(Struct, frozen=True, kw_only=True):
    """A person or a service that owns keys, known by its email."""

    user_id: str
    organization_id: str
    email: str
    created_at: datetime


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key without its text: `digest` is the SHA-256 of it, `prefix` its first ten characters.

    `revoked` is final. `expires_at` None never expires.
    """

    key_id: str
    organization_id: str
    user_id: str
    name: str
    digest: bytes
    prefix: str
    permission: Permission
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> KeyStatus:
        """The key's state at a moment."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class Caller(Struct, frozen=True, kw_only=True):
    """Who makes a call, and in which namespace."""

    organization_id: str
    namespace_id: str
    namespace_name: str
    key_id: str
    user_id: str
    permission: Permission


def new_id(kind: Literal["org", "ns", "user", "key"]) -> str:
    """A new identifier, such as `ns_` and twenty random characters."""
    return f"{kind}_{random_text(20)}"


_NAMESPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,63}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,190}")


def check_namespace_name(name: str) -> None:
    """Raises `BadRequest` unless the name can stand in a header and cannot be taken for an id."""
    if not _NAMESPACE_NAME.fullmatch(name) or name.startswith("ns_"):
        raise BadRequest(
            "A namespace name has 3 to 64 letters, digits, '.', '_' or '-', begins with a letter or digit and not with 'ns_'.",
            code="namespace_name_invalid",
        )


def check_key_name(name: str) -> None:
    """Raises `BadRequest` unless the name has 1 to 100 printable characters."""
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise BadRequest("A key name has 1 to 100 printable characters.", code="key_name_invalid")


def check_email(email: str) -> None:
    """Raises `BadRequest` unless the text has the form of an email address."""
    if not _EMAIL.fullmatch(email):
        raise BadRequest("A user is named by an email address.", code="email_invalid")
