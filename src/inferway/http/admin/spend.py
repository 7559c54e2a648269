"""What is spent against each spend cap, over HTTP."""

from datetime import UTC, datetime
from typing import Literal, Protocol

from inferway.access.caps import namespace_budget
from inferway.access.directory import Directory
from inferway.access.records import Permission, SpendBudget
from inferway.http.admin.answers import Spend, SpendLine
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.shown import MICRO, usd
from inferway.limits.spending import Spent, beginnings
from inferway.types import SpendCap
from inferway.usage.ledger import Ledger, spent

_LINES_MAX = 1000


class CountsSpend(Protocol):
    """Knows what is spent and reserved; raises `StoreUnavailable`."""

    async def spent(self, cap: SpendCap) -> Spent: ...


class SpendRoutes:
    """`GET /v1/organizations/spend`."""

    def __init__(self, directory: Directory, ledger: Ledger, spending: CountsSpend) -> None:
        self._directory, self._ledger, self._spending = directory, ledger, spending

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The route and what it needs."""
        return (
            Endpoint(
                name="get_spend",
                method="GET",
                path="/v1/organizations/spend",
                permission=Permission.READ,
                scope="visible",
                handler=self.get,
            ),
        )

    async def get(self, visit: Visit) -> Spend:
        """What the organization spent, and each namespace and key with a cap; a thousand of each at most."""
        tenant = visit.organization_id
        namespaces, keys = [], []
        for each in await self._directory.list_namespaces(tenant):
            budget = namespace_budget(each, visit.holder.organization)
            if _is_capped(budget) and visit.may_see("namespace", each.namespace_id, each.name):
                namespaces.append((each.namespace_id, each.name, budget))
        for key in await self._directory.list_keys(tenant):
            is_live = key.status(datetime.now(UTC)) == "active"
            if is_live and _is_capped(key.spend_budget) and visit.may_see("api_key", key.key_id, key.name):
                keys.append((key.key_id, key.name, key.spend_budget))
        return Spend(
            organization=await self._organization(visit) if visit.may_see("organization", tenant) else None,
            namespaces=tuple(
                [await self._line(tenant, "namespace", *one) for one in namespaces[:_LINES_MAX]]
            ),
            keys=tuple([await self._line(tenant, "key", *one) for one in keys[:_LINES_MAX]]),
        )

    async def _organization(self, visit: Visit) -> SpendLine:
        own = visit.holder.organization
        tenant = own.organization_id
        if _is_capped(own.spend_budget):
            return await self._line(tenant, "organization", tenant, own.name, own.spend_budget)
        day, month = beginnings(datetime.now(UTC))
        today, this_month = await spent(self._ledger, tenant, day=day, month=month)
        return _shown(
            "organization",
            tenant,
            own.name,
            own.spend_budget,
            Spent(today_microusd=today, month_microusd=this_month),
        )

    async def _line(
        self,
        tenant: str,
        resource: Literal["key", "namespace", "organization"],
        identity: str,
        name: str,
        budget: SpendBudget,
    ) -> SpendLine:
        cap = SpendCap(
            resource=resource,
            id=identity,
            organization_id=tenant,
            daily_microusd=budget.daily_microusd,
            monthly_microusd=budget.monthly_microusd,
        )
        return _shown(resource, identity, name, budget, await self._spending.spent(cap))


def _is_capped(budget: SpendBudget) -> bool:
    return budget.daily_microusd is not None or budget.monthly_microusd is not None


def _shown(
    resource: Literal["key", "namespace", "organization"],
    identity: str,
    name: str,
    budget: SpendBudget,
    used: Spent,
) -> SpendLine:
    return SpendLine(
        resource=resource,
        id=identity,
        name=name,
        daily_usd=usd(budget.daily_microusd),
        monthly_usd=usd(budget.monthly_microusd),
        today_usd=used.today_microusd / MICRO,
        month_usd=used.month_microusd / MICRO,
    )
