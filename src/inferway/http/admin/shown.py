"""How records look on the wire."""

from datetime import UTC, datetime

import msgspec

from inferway.access.records import (
    ApiKey,
    AuditEvent,
    Credentials,
    Namespace,
    Organization,
    Permission,
    SpendBudget,
    User,
)
from inferway.http.admin.answers import (
    Budget,
    KeptDays,
    Key,
    NewKey,
    OwnedKey,
    RateLimits,
    ShownEvent,
    ShownExtractor,
    ShownNamespace,
    ShownOrganization,
    ShownUser,
    SpendLimits,
)
from inferway.http.admin.bodies import BudgetBody, PayloadIndex

MICRO = 1_000_000


def shown_key(key: ApiKey) -> Key:
    """A key without its text."""
    return Key(
        key_id=key.key_id,
        key_hash=key.digest.hex(),
        key_prefix=key.prefix,
        key_type="standard",
        is_internal=False,
        internal_id=key.organization_id,
        organization_id=key.organization_id,
        user_id=key.user_id,
        name=key.name,
        description=key.description,
        permissions=shown_permissions(key),
        scopes=key.scopes,
        rate_limit_override=key.per_minute,
        status=key.status(datetime.now(UTC)),
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        created_at=key.created_at,
        created_by=key.created_by,
        revoked_at=key.revoked_at,
        revoked_by=key.revoked_by,
        allowed_origins=key.allowed_origins or None,
        models=key.models or None,
        spend_budget=shown_budget(key.spend_budget),
    )


def shown_new_key(key: ApiKey, text: str) -> NewKey:
    """A key with its text."""
    return NewKey(**msgspec.structs.asdict(shown_key(key)), key=text)


def shown_owned_key(key: ApiKey, email: str) -> OwnedKey:
    """A key with its owner's email."""
    return OwnedKey(**msgspec.structs.asdict(shown_key(key)), user_email=email)


def shown_permissions(key: ApiKey) -> tuple[Permission, ...]:
    """The permissions as they were asked for."""
    return key.granted or (key.permission,)


def shown_user(user: User) -> ShownUser:
    """A user."""
    return ShownUser(
        user_id=user.user_id,
        organization_id=user.organization_id,
        email=user.email,
        user_name=user.name if user.name is not None else user.email.partition("@")[0],
        avatar_url=user.avatar_url,
        role=user.role,
        status=user.standing,
        metadata=user.metadata,
        has_password=user.password_hash is not None,
        created_at=user.created_at,
        updated_at=user.updated_at or user.created_at,
    )


def shown_organization(organization: Organization, per_minute: int) -> ShownOrganization:
    """An organization; `per_minute` is the rate of its keys that have none of their own."""
    own, default = organization.spend_budget, organization.namespace_budget
    names = RateLimits.__struct_fields__
    return ShownOrganization(
        organization_id=organization.organization_id,
        organization_name=organization.name,
        logo_url=organization.logo_url,
        account_type="enterprise",
        credit_count=0,
        metadata=organization.metadata,
        billing_email=organization.billing_email,
        notifications_email=organization.notifications_email,
        rate_limits=RateLimits(**dict.fromkeys(names, max(1, per_minute))),
        created_at=organization.created_at,
        updated_at=organization.updated_at or organization.created_at,
        default_llm_credentials=shown_credentials(organization.credentials),
        spend_limits=SpendLimits(
            daily_usd=usd(own.daily_microusd),
            monthly_usd=usd(own.monthly_microusd),
            namespace_default_daily_usd=usd(default.daily_microusd),
            namespace_default_monthly_usd=usd(default.monthly_microusd),
        ),
    )


def shown_namespace(namespace: Namespace) -> ShownNamespace:
    """A namespace."""
    kept = namespace.attributes
    return ShownNamespace(
        object="namespace",
        namespace_id=namespace.namespace_id,
        namespace_name=namespace.name,
        namespace_type="standard",
        scope="org",
        mode="managed",
        description=namespace.description,
        metadata=namespace.metadata,
        feature_extractors=tuple(
            ShownExtractor(feature_extractor_id=f"{each['feature_extractor_name']}_{each['version']}", **each)
            for each in kept.get("feature_extractors", ())
        ),
        payload_indexes=tuple(PayloadIndex(**each) for each in kept.get("payload_indexes", ())),
        llm_credentials=shown_credentials(namespace.credentials),
        spend_budget=shown_budget(namespace.spend_budget),
        keep_content=shown_days(namespace),
        namespace_ready=True,
        created_at=namespace.created_at,
        updated_at=namespace.updated_at or namespace.created_at,
    )


def shown_days(namespace: Namespace) -> KeptDays | None:
    """For how long a namespace keeps its calls."""
    return None if namespace.keep_days is None else KeptDays(days=namespace.keep_days)


def shown_event(event: AuditEvent) -> ShownEvent:
    """An audit event."""
    return ShownEvent(
        audit_id=event.audit_id,
        timestamp=event.at,
        resource_type=event.resource_type,
        resource_id=event.resource_id,
        action=event.action,
        actor_id=event.actor_id,
        actor_type="operator" if event.actor_id == "operator" else "user",
        status="success",
        changes=event.changes,
        ip_address=event.ip_address,
        user_agent=event.user_agent,
        actor_email=event.actor_email,
        actor_key_name=event.actor_key_name,
    )


def shown_credentials(credentials: Credentials) -> dict[str, str]:
    """Which secret is used for which provider."""
    return {provider: borrowed.secret_name for provider, borrowed in credentials.items()}


def shown_budget(budget: SpendBudget) -> Budget:
    """A budget in US dollars."""
    return Budget(daily_usd=usd(budget.daily_microusd), monthly_usd=usd(budget.monthly_microusd))


def budget_of(body: BudgetBody | None) -> SpendBudget:
    """A budget from the wire."""
    if body is None:
        return SpendBudget()
    return SpendBudget(daily_microusd=microusd(body.daily_usd), monthly_microusd=microusd(body.monthly_usd))


def microusd(amount: float | None) -> int | None:
    """US dollars as whole micro-dollars."""
    return None if amount is None else round(amount * MICRO)


def usd(amount: int | None) -> float | None:
    """Whole micro-dollars as US dollars."""
    return None if amount is None else amount / MICRO
