"""Which spend caps a call stands under: its key's, its namespace's and its organization's."""

from typing import Literal

from inferway.access.records import ApiKey, Namespace, Organization, SpendBudget
from inferway.types import SpendCap


def caps_of(key: ApiKey, namespace: Namespace, organization: Organization) -> tuple[SpendCap, ...] | None:
    """The caps of a call, the narrowest owner first; None when nobody set any."""
    organization_id = organization.organization_id
    caps = (
        _cap("key", key.key_id, organization_id, key.spend_budget),
        _cap("namespace", namespace.namespace_id, organization_id, namespace_budget(namespace, organization)),
        _cap("organization", organization_id, organization_id, organization.spend_budget),
    )
    return tuple(cap for cap in caps if cap is not None) or None


def namespace_budget(namespace: Namespace, organization: Organization) -> SpendBudget:
    """A namespace's own budget, and the organization's default for each window that it leaves open."""
    own, default = namespace.spend_budget, organization.namespace_budget
    return SpendBudget(
        daily_microusd=default.daily_microusd if own.daily_microusd is None else own.daily_microusd,
        monthly_microusd=default.monthly_microusd if own.monthly_microusd is None else own.monthly_microusd,
    )


def _cap(
    resource: Literal["key", "namespace", "organization"],
    name: str,
    organization_id: str,
    budget: SpendBudget,
) -> SpendCap | None:
    if budget.daily_microusd is None and budget.monthly_microusd is None:
        return None
    return SpendCap(
        resource=resource,
        id=name,
        organization_id=organization_id,
        daily_microusd=budget.daily_microusd,
        monthly_microusd=budget.monthly_microusd,
    )
