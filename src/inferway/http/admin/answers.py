"""What the routes of administration answer: each field is declared here, so that nothing new is shown by accident."""

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from inferway.access.records import KeyStatus, Permission, Role, UserStatus
from inferway.access.scopes import Scope
from inferway.http.admin.bodies import PayloadIndex
from inferway.http.admin.usage_answers import Meters


class Done(Struct, frozen=True, kw_only=True):
    """Something is done and leaves nothing to show."""

    message: str
    success: Literal[True] = True


class Budget(Struct, frozen=True, kw_only=True):
    """US dollars per UTC day and month; null is no cap."""

    daily_usd: float | None
    monthly_usd: float | None


class Key(Struct, frozen=True, kw_only=True):
    """A key without its text (the reference client's `APIKeyModel`)."""

    key_id: str
    key_hash: str
    key_prefix: str
    key_type: Literal["standard"]
    is_internal: Literal[False]
    internal_id: str
    organization_id: str
    user_id: str
    name: str
    description: str
    permissions: tuple[Permission, ...]
    scopes: tuple[Scope, ...]
    rate_limit_override: int | None
    status: KeyStatus
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    created_by: str | None
    revoked_at: datetime | None
    revoked_by: str | None
    allowed_origins: tuple[str, ...] | None
    models: tuple[str, ...] | None
    spend_budget: Budget


class NewKey(Key, frozen=True, kw_only=True):
    """A key with its text, which is shown this once."""

    key: str


class Keys(Struct, frozen=True, kw_only=True):
    """The keys of a user."""

    results: tuple[Key, ...]
    total: int


class OwnedKey(Key, frozen=True, kw_only=True):
    """A key without its text, and its owner's email."""

    user_email: str


class OwnedKeys(Struct, frozen=True, kw_only=True):
    """A page of the keys of an organization."""

    results: tuple[OwnedKey, ...]
    total: int
    skip: int
    limit: int


class OwnKey(Struct, frozen=True, kw_only=True):
    """The key that a request came with."""

    key_id: str
    name: str
    key_type: Literal["standard"]
    permissions: tuple[Permission, ...]
    expires_at: datetime | None


class OwnLimits(Struct, frozen=True, kw_only=True):
    """Inference calls per minute; 0 is no limit."""

    compute: int


class Me(Struct, frozen=True, kw_only=True):
    """Who calls: organization, user, key and limits."""

    organization_id: str
    organization_name: str
    account_type: Literal["enterprise"]
    user_email: str
    key: OwnKey
    rate_limits: OwnLimits
    principal_scoped: Literal[False]


class ShownUser(Struct, frozen=True, kw_only=True):
    """A user."""

    user_id: str
    organization_id: str
    email: str
    user_name: str
    avatar_url: str | None
    role: Role
    status: UserStatus
    metadata: dict[str, Any]
    has_password: bool
    created_at: datetime
    updated_at: datetime


class SignInLink(Struct, frozen=True, kw_only=True):
    """Signs a user in to the dashboard once: `path` at this server, within so many minutes."""

    path: str
    minutes: float


class Users(Struct, frozen=True, kw_only=True):
    """A page of users."""

    results: tuple[ShownUser, ...]
    total: int
    skip: int
    limit: int


class RateLimits(Struct, frozen=True, kw_only=True):
    """Calls per minute; all are the one limit that there is here, `compute` is the reference client's name for inference."""

    metadata: int
    data: int
    search: int
    upload: int
    compute: int


class SpendLimits(Struct, frozen=True, kw_only=True):
    """US dollars that the organization, and each namespace without a budget of its own, may spend; null is no cap."""

    daily_usd: float | None
    monthly_usd: float | None
    namespace_default_daily_usd: float | None
    namespace_default_monthly_usd: float | None


class ShownOrganization(Struct, frozen=True, kw_only=True):
    """An organization (the reference client's `OrganizationModelResponse`); what is a hosted service's business is 0."""

    organization_id: str
    organization_name: str
    logo_url: str | None
    account_type: Literal["enterprise"]
    credit_count: int
    metadata: dict[str, Any]
    billing_email: str | None
    notifications_email: str | None
    rate_limits: RateLimits
    created_at: datetime
    updated_at: datetime
    default_llm_credentials: dict[str, str]
    spend_limits: SpendLimits


class ShownExtractor(Struct, frozen=True, kw_only=True):
    """An extractor as it is kept for other tools."""

    feature_extractor_id: str
    feature_extractor_name: str
    version: str
    params: dict[str, Any] | UnsetType = UNSET


class KeptDays(Struct, frozen=True, kw_only=True):
    """For how many days the requests and answers of a namespace's calls are kept."""

    days: int


class ShownNamespace(Struct, frozen=True, kw_only=True):
    """A namespace (the reference client's `NamespaceModel`)."""

    object: Literal["namespace"]
    namespace_id: str
    namespace_name: str
    namespace_type: Literal["standard"]
    scope: Literal["org"]
    mode: Literal["managed"]
    description: str | None
    metadata: dict[str, Any]
    feature_extractors: tuple[ShownExtractor, ...]
    payload_indexes: tuple[PayloadIndex, ...]
    llm_credentials: dict[str, str]
    spend_budget: Budget
    keep_content: KeptDays | None
    namespace_ready: Literal[True]
    created_at: datetime
    updated_at: datetime


class Pagination(Struct, frozen=True, kw_only=True):
    """Where a page stands in its list; `next_page` and `previous_page` are queries, `next_cursor` is for `cursor`."""

    total: int
    page: int
    page_size: int
    total_pages: int
    next_page: str | None
    previous_page: str | None
    next_cursor: str | None


class Namespaces(Struct, frozen=True, kw_only=True):
    """A page of namespaces."""

    results: tuple[ShownNamespace, ...]
    pagination: Pagination
    total_count: int


class RemovedNamespace(Done, frozen=True, kw_only=True):
    """A namespace that is gone."""

    namespace_id: str
    namespace_name: str


class ShownEvent(Struct, frozen=True, kw_only=True):
    """An audit event (the reference client's `AuditEventResponse`)."""

    audit_id: str
    timestamp: datetime
    resource_type: str
    resource_id: str
    action: str
    actor_id: str
    actor_type: Literal["operator", "user"]
    status: Literal["success"]
    changes: dict[str, Any]
    ip_address: str | None
    user_agent: str | None
    actor_email: str | None
    actor_key_name: str | None


class Events(Struct, frozen=True, kw_only=True):
    """A page of the audit log."""

    results: tuple[ShownEvent, ...]
    total: int
    skip: int
    limit: int


class CreatedSecret(Struct, frozen=True, kw_only=True):
    """A secret is kept."""

    secret_name: str
    created: Literal[True] = True


class UpdatedSecret(Struct, frozen=True, kw_only=True):
    """A secret has another value."""

    secret_name: str
    updated: Literal[True] = True


class DeletedSecret(Struct, frozen=True, kw_only=True):
    """A secret is gone."""

    secret_name: str
    deleted: Literal[True] = True


class Secrets(Struct, frozen=True, kw_only=True):
    """The names of secrets; their values never come back."""

    secrets: tuple[str, ...]
    count: int


class ShownCredential(Struct, frozen=True, kw_only=True):
    """Whose credential a provider is called with. A secret can stand in where it `can_be_lent`; `circuit` is that of the operator's."""

    provider: str
    kind: str
    credential: Literal["organization", "operator", "not_needed", "none"]
    secret_name: str | None
    can_be_lent: bool
    can_be_checked: bool
    circuit: Literal["closed", "half_open", "open"]


class ShownCredentials(Struct, frozen=True, kw_only=True):
    """Every provider that is configured."""

    results: tuple[ShownCredential, ...]
    total: int


class CheckedCredential(Struct, frozen=True, kw_only=True):
    """Whether a provider takes a credential; `secret_name` is null for the operator's."""

    provider: str
    secret_name: str | None
    state: Literal["ok", "refused", "unreachable", "unclear", "not_needed"]
    message: str


class SpendLine(Struct, frozen=True, kw_only=True):
    """The caps of a key, a namespace or the organization (null: none), and what is spent in this UTC day and month, in US dollars.

    What is reserved for calls under way counts as spent.
    """

    resource: Literal["key", "namespace", "organization"]
    id: str
    name: str
    daily_usd: float | None
    monthly_usd: float | None
    today_usd: float
    month_usd: float


class Spend(Struct, frozen=True, kw_only=True):
    """What is spent against each cap; `organization` is null for a key whose scopes leave it out."""

    organization: SpendLine | None
    namespaces: tuple[SpendLine, ...]
    keys: tuple[SpendLine, ...]


class Wellness(Struct, frozen=True, kw_only=True):
    """Whether each part is well."""

    cache: bool
    metadata: bool
    vector_store: bool
    object_storage: bool
    task_queue: bool
    inference: bool


class DeepHealth(Struct, frozen=True, kw_only=True):
    """The state of every part; `errors` says what is wrong with those that are not well, and is null when all are."""

    status: Literal["OK", "DEGRADED"]
    data: Wellness
    errors: dict[str, str | None] | None


class CallLine(Struct, frozen=True, kw_only=True):
    """A kept call in a list; `time` is when it began."""

    record_id: str
    request_id: str
    time: datetime
    operation: str
    provider: str
    model: str
    status: str


class CallLines(Struct, frozen=True, kw_only=True):
    """A page of kept calls, the newest first."""

    results: tuple[CallLine, ...]
    keep_content: KeptDays | None
    next_cursor: str | None


class Used(Meters, frozen=True, kw_only=True):
    """What a call used; `raw` is the provider's own usage object as text, `source` who counted."""

    source: Literal["provider", "measured", "estimated", "none"]
    raw: str | None


class ShownAttempt(Struct, frozen=True, kw_only=True):
    """One try at one provider; `outcome` is `ok` or the error's code."""

    provider: str
    model: str
    outcome: str
    duration_ms: float
    started_ms: float
    usage: Used | None
    cost_microusd: int | None
    price_version: str | None
    model_version: str | None


class ShownRecord(Struct, frozen=True, kw_only=True):
    """The call's row in the ledger, as far as it concerns one call; a cost of null is not known."""

    key_id: str
    error_type: str | None
    error_code: str | None
    latency_ms: float
    upstream_ms: float
    first_event_ms: float | None
    streamed: bool
    cached: bool
    cache_kind: str | None
    retries: int
    usage: Used | None
    cost_microusd: int | None
    price_version: str | None
    model_version: str | None
    attempts: tuple[ShownAttempt, ...]


class ShownCall(CallLine, frozen=True, kw_only=True):
    """A kept call: the request and its answer or error as they were on the wire, cut where they were long."""

    record: ShownRecord | None
    request: Raw | None
    answer: Raw | None
    error: Raw | None
