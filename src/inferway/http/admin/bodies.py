"""What may be written: the bodies of administration, each with exactly the fields that a caller may set."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from inferway.access.records import Permission, Role, UserStatus
from inferway.access.scopes import Scope

# What `\s` means to Python, written out: other readers of a pattern mean other blanks.
_EMAIL_FORM = (
    r"^[^@/\x00-\x20\x7f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{1,64}"
    r"@[^@/\x00-\x20\x7f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{1,190}$"
)
_NAMESPACE_FORM = r"^(?!ns_)[A-Za-z0-9][A-Za-z0-9._-]{2,63}$"
_NAME_FORM = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
# Names are judged where they are used, with words of their own; here they are described.
_Text = Annotated[str, Meta(max_length=500)]
_Url = Annotated[str, Meta(max_length=2000)]
_KeyName = Annotated[str, Meta(min_length=1, max_length=100)]
_UserName = Annotated[str, Meta(min_length=2, max_length=100)]
_NamespaceName = Annotated[
    str, Meta(min_length=3, max_length=64, extra_json_schema={"pattern": _NAMESPACE_FORM})
]
_Usd = Annotated[float, Meta(ge=0, le=1e9)]
_Permissions = Annotated[tuple[Permission, ...], Meta(min_length=1, max_length=16)]
_Scopes = Annotated[tuple[Scope, ...], Meta(max_length=100)]
_Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=100)]
_PerMinute = Annotated[int, Meta(ge=1, le=1_000_000_000)]
_Metadata = Annotated[dict[str, Any], Meta(max_length=200)]
_CredentialNames = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(min_length=1, max_length=100)]
    ],
    Meta(max_length=64),
]


class BudgetBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars per UTC day and month; null is no cap."""

    daily_usd: _Usd | None = None
    monthly_usd: _Usd | None = None


class KeyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/api-keys`. `models` and `spend_budget` are ours."""

    name: _KeyName
    description: _Text | None = None
    permissions: _Permissions | None = None
    scopes: _Scopes | None = None
    rate_limit_override: _PerMinute | None = None
    expires_at: datetime | None = None
    allowed_origins: _Names | None = None
    models: _Names | None = None
    spend_budget: BudgetBody | None = None


class KeyPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH …/api-keys/{name or key_id}`; null takes a restriction away."""

    name: _KeyName | UnsetType = UNSET
    description: _Text | UnsetType | None = UNSET
    permissions: _Permissions | UnsetType = UNSET
    scopes: _Scopes | UnsetType | None = UNSET
    rate_limit_override: _PerMinute | UnsetType | None = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    status: Literal["active", "revoked", "expired"] | UnsetType = UNSET
    allowed_origins: _Names | UnsetType | None = UNSET
    models: _Names | UnsetType | None = UNSET
    spend_budget: BudgetBody | UnsetType | None = UNSET


class RotateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/api-keys/{name or key_id}/rotate`; `overlap_s` (ours) is how long the old key goes on working."""

    overlap_s: Annotated[int, Meta(ge=0, le=2_592_000)] = 0


class UserBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/organizations/users`."""

    email: Annotated[str, Meta(min_length=3, max_length=254, extra_json_schema={"pattern": _EMAIL_FORM})]
    user_name: _UserName
    avatar_url: _Url | None = None
    role: Role | None = None
    status: UserStatus | None = None
    metadata: _Metadata | None = None


class UserPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH /v1/organizations/users/{email}`."""

    user_name: _UserName | UnsetType = UNSET
    avatar_url: _Url | UnsetType | None = UNSET
    role: Role | UnsetType = UNSET
    status: UserStatus | UnsetType = UNSET
    metadata: _Metadata | UnsetType | None = UNSET


class PasswordBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PUT /v1/organizations/users/{email}/password`; null takes the password away."""

    password: Annotated[str, Meta(min_length=10, max_length=200)] | None


class CheckBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/organizations/credentials/check`."""

    provider: Annotated[str, Meta(min_length=1, max_length=64)]
    secret_name: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class SpendLimitsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars that the organization, and each namespace without a budget of its own, may spend."""

    daily_usd: _Usd | UnsetType | None = UNSET
    monthly_usd: _Usd | UnsetType | None = UNSET
    namespace_default_daily_usd: _Usd | UnsetType | None = UNSET
    namespace_default_monthly_usd: _Usd | UnsetType | None = UNSET


class OrganizationPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH /v1/organizations`."""

    organization_name: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    logo_url: _Url | UnsetType | None = UNSET
    billing_email: Annotated[str, Meta(max_length=254)] | UnsetType | None = UNSET
    notifications_email: Annotated[str, Meta(max_length=254)] | UnsetType | None = UNSET
    metadata: _Metadata | UnsetType | None = UNSET
    default_llm_credentials: _CredentialNames | UnsetType | None = UNSET
    spend_limits: SpendLimitsBody | UnsetType | None = UNSET


class Extractor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An extractor that other tools read from a namespace; it is kept and does nothing here."""

    feature_extractor_name: Annotated[str, Meta(min_length=1, max_length=200)]
    version: Annotated[str, Meta(min_length=1, max_length=50)]
    params: dict[str, Any] | None = None


class PayloadIndex(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An index that other tools read from a namespace; it is kept and does nothing here."""

    field_name: Annotated[str, Meta(min_length=1, max_length=255)]
    type: Literal["keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"]
    field_schema: dict[str, Any] | None = None
    is_protected: bool = False


_Extractors = Annotated[tuple[Extractor, ...], Meta(max_length=100)]
_Indexes = Annotated[tuple[PayloadIndex, ...], Meta(max_length=500)]


NamespaceField = Literal["namespace_id", "namespace_name", "description", "created_at", "updated_at"]
"""What namespaces are picked and ordered by."""


class KeepContentBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many days the requests and answers of a namespace's calls are kept."""

    days: Annotated[int, Meta(ge=1, le=3650)]


class NamespaceBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/namespaces`. `keep_content` and what administrators say are ours; the reference client always sends `mode`."""

    namespace_name: _NamespaceName
    mode: Literal["managed"] | None = None
    description: Annotated[str, Meta(max_length=2000)] | None = None
    metadata: _Metadata | None = None
    feature_extractors: _Extractors | None = None
    payload_indexes: _Indexes | None = None
    llm_credentials: _CredentialNames | None = None
    spend_budget: BudgetBody | None = None
    keep_content: KeepContentBody | None = None


class NamespacePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH` and `PUT /v1/namespaces/{id or name}`."""

    namespace_name: _NamespaceName | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=2000)] | UnsetType | None = UNSET
    metadata: _Metadata | UnsetType | None = UNSET
    feature_extractors: _Extractors | UnsetType | None = UNSET
    payload_indexes: _Indexes | UnsetType | None = UNSET
    llm_credentials: _CredentialNames | UnsetType | None = UNSET
    spend_budget: BudgetBody | UnsetType | None = UNSET
    keep_content: KeepContentBody | UnsetType | None = UNSET


class Order(Struct, frozen=True, kw_only=True):
    """What a list is ordered by; `order` is the same as `direction`, which wins, and goes up unless it says `desc`."""

    field: NamespaceField
    direction: str | int | UnsetType = UNSET
    order: str | int | UnsetType = UNSET


class NamespaceQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/namespaces/list`."""

    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    page_size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    offset: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    filters: dict[str, Any] | None = None
    sort: Order | None = None
    sorts: Annotated[tuple[Order, ...], Meta(max_length=16)] | None = None
    search: Annotated[str, Meta(max_length=200)] | None = None
    case_sensitive: bool = False


class SecretBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/organizations/secrets`."""

    secret_name: Annotated[str, Meta(min_length=1, max_length=100, extra_json_schema={"pattern": _NAME_FORM})]
    secret_value: Annotated[str, Meta(min_length=1, max_length=65_536)]


class SecretValue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PUT /v1/organizations/secrets/{secret_name}`."""

    secret_value: Annotated[str, Meta(min_length=1, max_length=65_536)]
