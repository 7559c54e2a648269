"""The values that access is made of, as they are stored."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from inferway.access.keys import random_text
from inferway.access.scopes import Scope
from inferway.access.secrets import SealedSecret
from inferway.errors import BadRequest
from inferway.types import SpendCap


class Permission(StrEnum):
    """What a key may do; each level includes those before it."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"

    @classmethod
    def highest(cls, given: "tuple[Permission, ...]") -> "Permission":
        """The highest of one or more."""
        return max(given, key=_RANK.__getitem__)

    def includes(self, other: "Permission") -> bool:
        """Whether this level is enough where `other` is asked for."""
        return _RANK[self] >= _RANK[other]


_RANK = {Permission.READ: 0, Permission.WRITE: 1, Permission.DELETE: 2, Permission.ADMIN: 3}

KeyStatus = Literal["active", "revoked", "expired"]


class SpendBudget(Struct, frozen=True, kw_only=True):
    """What may be spent in a UTC day and a UTC month, in micro-dollars; None is no cap."""

    daily_microusd: int | None = None
    monthly_microusd: int | None = None


class Borrowed(Struct, frozen=True, kw_only=True):
    """Which secret is shown to a provider instead of the operator's key, and the only host it may be shown to."""

    secret_name: str
    host: str | None = None


Credentials = dict[str, Borrowed]
"""The borrowed credentials by the provider's name."""


class Organization(Struct, frozen=True, kw_only=True):
    """A tenant: what it owns is invisible to every other. `namespace_budget` is the default budget of its namespaces."""

    organization_id: str
    name: str
    created_at: datetime
    updated_at: datetime | None = None
    logo_url: str | None = None
    billing_email: str | None = None
    notifications_email: str | None = None
    metadata: dict[str, Any] = {}
    credentials: Credentials = {}
    spend_budget: SpendBudget = SpendBudget()
    namespace_budget: SpendBudget = SpendBudget()


class Namespace(Struct, frozen=True, kw_only=True):
    """A part of an organization that calls are made in; its name is unique there.

    `attributes` are fields of the reference client that other tools read: they are kept and returned, and mean nothing here.
    `keep_days` is for how many days the requests and answers of its calls are kept; None: they are not.
    """

    namespace_id: str
    organization_id: str
    name: str
    created_at: datetime
    updated_at: datetime | None = None
    description: str | None = None
    metadata: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    credentials: Credentials = {}
    spend_budget: SpendBudget = SpendBudget()
    keep_days: int | None = None


class Role(StrEnum):
    """What a user is in the organization; a viewer's keys can only read."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


DASHBOARD = "dashboard"
"""The name of the key that a user's own sessions act with, and who is said to have made it."""

BY_ROLE = {Role.ADMIN: Permission.ADMIN, Role.MEMBER: Permission.DELETE, Role.VIEWER: Permission.READ}
"""What a user's own sessions may do."""


class UserStatus(StrEnum):
    """Whether a user's keys work: those of a suspended user do not."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    PENDING = "pending"


class User(Struct, frozen=True, kw_only=True):
    """A person or a service that owns keys, known by its email.

    `password_hash` is an argon2id hash; None signs in by links and keys only.
    """

    user_id: str
    organization_id: str
    email: str
    created_at: datetime
    updated_at: datetime | None = None
    name: str | None = None
    avatar_url: str | None = None
    role: Role = Role.ADMIN
    standing: UserStatus = UserStatus.ACTIVE
    metadata: dict[str, Any] = {}
    password_hash: str | None = None


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key without its text: `digest` is the SHA-256 of it, `prefix` its first ten characters.

    `revoked` is final, and so is `expired`. `expires_at` None never expires. After a rotation `previous_digest` works until
    `previous_until`. `granted` are the permissions as they were asked for, `permission` the highest of them. No `scopes`: everything of the
    organization; no `allowed_origins`: any; no `models`: all (patterns such as `openai/gpt-*`).
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
    revoked_by: str | None = None
    created_by: str | None = None
    last_used_at: datetime | None = None
    description: str = ""
    granted: tuple[Permission, ...] = ()
    scopes: tuple[Scope, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    per_minute: int | None = None
    spend_budget: SpendBudget = SpendBudget()
    previous_digest: bytes | None = None
    previous_until: datetime | None = None

    def status(self, now: datetime) -> KeyStatus:
        """The key's state at a moment."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class Session(Struct, frozen=True, kw_only=True):
    """Somebody who is signed in to the dashboard: one more text of a key, known by the SHA-256 of it. A `link` is one that was used."""

    digest: bytes
    kind: Literal["session", "link"]
    organization_id: str
    key_id: str
    created_at: datetime
    expires_at: datetime


def signed_in(key: ApiKey, session: Session) -> ApiKey:
    """A key as a session has it: its text is the session's, and works until the session ends."""
    return replace(key, previous_digest=session.digest, previous_until=session.expires_at)


def find_dashboard_key(keys: tuple[ApiKey, ...], user: User, now: datetime) -> ApiKey | None:
    """The live key that a user's own sessions act with, among those of the organization."""
    own = (key for key in keys if key.user_id == user.user_id and key.created_by == DASHBOARD)
    return next((key for key in own if key.status(now) == "active"), None)


class AuditEvent(Struct, frozen=True, kw_only=True):
    """Who changed what, when, and from where. `changes` never holds a key or a secret's value."""

    audit_id: str
    organization_id: str
    at: datetime
    resource_type: str
    resource_id: str
    action: str
    actor_id: str
    actor_email: str | None = None
    actor_key_name: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    changes: dict[str, Any] = {}


class LentSecret(Struct, frozen=True, kw_only=True):
    """A credential that a call uses instead of the operator's. `sealed` None: the secret is gone, and the call cannot be made."""

    provider: str
    host: str | None
    sealed: SealedSecret | None


class Caller(Struct, frozen=True, kw_only=True):
    """Who makes a call, in which namespace, with which of its own credentials, and with which models (none named: all).

    `per_minute` is the key's own limit of calls instead of the general one. `caps` is None for a caller that may spend without end.
    `is_kept`: the namespace keeps what its calls ask and are answered.
    """

    organization_id: str
    namespace_id: str
    namespace_name: str
    key_id: str
    user_id: str
    permission: Permission
    models: tuple[str, ...] = ()
    lent: tuple[LentSecret, ...] = ()
    per_minute: int | None = None
    caps: tuple[SpendCap, ...] | None = None
    is_kept: bool = False


class Holder(Struct, frozen=True, kw_only=True):
    """Who administers: a good key, its owner, and their organization. `permission` is what the two together allow."""

    key: ApiKey
    user: User
    organization: Organization
    permission: Permission


def new_id(kind: Literal["org", "ns", "user", "key", "secret", "audit"]) -> str:
    """A new identifier, such as `ns_` and twenty random characters."""
    return f"{kind}_{random_text(20)}"


_NAMESPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,63}")
# No slash: paths name users by their emails, and an escaped slash is one like any other there.
_EMAIL = re.compile(r"[^\s@/\x00-\x1f\x7f]{1,64}@[^\s@/\x00-\x1f\x7f]{1,190}")


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
        raise BadRequest("A user is named by an email address, without a slash.", code="email_invalid")
