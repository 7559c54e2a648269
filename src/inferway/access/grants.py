"""Least privilege: nobody gives away what they do not hold."""

from datetime import datetime

from inferway.access.records import ApiKey, Holder
from inferway.access.scopes import covers, covers_patterns
from inferway.errors import Forbidden


def require_grantable(holder: Holder, key: ApiKey, now: datetime) -> None:
    """Raises `Forbidden` (code `grant_denied`) unless everything that a key is to have lies within what the holder's own key has."""
    own = holder.key
    for is_held, what in (
        (holder.permission.includes(key.permission), f"the permission '{key.permission}'"),
        (covers(own.scopes, key.scopes, own.organization_id), "those scopes"),
        (covers_patterns(own.models, key.models), "those models"),
        (covers_patterns(own.allowed_origins, key.allowed_origins), "those origins"),
        (_is_no_more(own.per_minute, key.per_minute), "that rate"),
        (_is_no_later(own.expires_at, key.expires_at), "that expiry"),
        (_is_no_more(own.spend_budget.daily_microusd, key.spend_budget.daily_microusd), "that budget"),
        (_is_no_more(own.spend_budget.monthly_microusd, key.spend_budget.monthly_microusd), "that budget"),
        (own.revoked_at is None and own.status(now) == "active", "anything"),
    ):
        if not is_held:
            raise Forbidden(f"A key cannot grant {what}: it goes beyond its own.", code="grant_denied")


def _is_no_more(own: int | None, asked: int | None) -> bool:
    return own is None or (asked is not None and asked <= own)


def _is_no_later(own: datetime | None, asked: datetime | None) -> bool:
    return own is None or (asked is not None and asked <= own)
