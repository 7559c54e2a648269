"""What was used and what it cost, over HTTP; a key with scopes sees what lies within them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from inferway.access.directory import Directory
from inferway.access.records import ApiKey, Permission
from inferway.errors import InvalidShape
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.names import Names, read_names
from inferway.http.admin.query import Number, Parameter, Text
from inferway.http.admin.usage_answers import (
    CostSummary,
    KeyUsage,
    ModelPerformance,
    OperationCost,
    OrganizationUsage,
    UsageGroup,
    UsageOfDay,
    UsageOfKey,
    UsageOfModel,
    UsageOfNamespace,
    UsageOfOperation,
    UsageTotal,
)
from inferway.http.admin.usage_questions import (
    END,
    END_DATE,
    GROUP_BY,
    KEY,
    PICKED,
    START,
    START_DATE,
    Questions,
    dimensions,
)
from inferway.usage.ledger import Ledger
from inferway.usage.queries import UsageQuery
from inferway.usage.reports import Group, add_up, error_rate, shown, total_of

_ORGANIZATION = "/v1/organizations/usage"
_KEY = "/v1/organizations/api-keys/{key:path}/usage"
_USERS_KEY = "/v1/organizations/users/{email}/api-keys/{key:path}/usage"
_PERFORMANCE = "/v1/analytics/inference/performance"
_SUMMARY = "/v1/analytics/usage/summary"
_MOST_GROUPS = 20_000
_INFERENCE = "/v1/inference"
_HOURS = Number(name="hours", about="How many hours back.", default=24, least=1, most=24 * 366)
_MODEL_NAME = Text(name="model_name", about="This model only: its name, or `provider/model`.")


class UsageRoutes:
    """The routes of usage and cost."""

    def __init__(self, directory: Directory, ledger: Ledger) -> None:
        self._questions, self._ledger = Questions(directory), ledger
        self._directory = directory

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""

        def endpoint(name: str, path: str, handler: Any, *query: Parameter[Any]) -> Endpoint:
            return Endpoint(
                name=name,
                method="GET",
                path=path,
                permission=Permission.READ,
                scope="visible",
                handler=handler,
                query=query,
                refusals=(404,) if PICKED[0] in query else (),
            )

        by_operation = self.endpoints_of_key
        ranged, grouped = (START, END, *PICKED), (START, END, GROUP_BY, *PICKED)
        return (
            endpoint("get_usage", _ORGANIZATION, self.organization, *grouped, KEY),
            endpoint("get_key_usage", _KEY, self.key, *grouped),
            endpoint("get_key_usage_by_operation", _KEY + "/endpoints", by_operation, *ranged),
            endpoint("get_users_key_usage", _USERS_KEY, self.key, *grouped),
            endpoint("get_users_key_usage_by_operation", _USERS_KEY + "/endpoints", by_operation, *ranged),
            endpoint("get_performance", _PERFORMANCE, self.performance, _MODEL_NAME, _HOURS),
            endpoint("get_cost_summary", _SUMMARY, self.summary, START_DATE, END_DATE, *PICKED, KEY),
        )

    async def organization(self, visit: Visit) -> OrganizationUsage:
        """What the organization used: in all, and by day, model, namespace and key, or by what `group_by` names."""
        query = await self._questions.read(visit)
        names = await read_names(self._directory, visit.organization_id)
        told = await self._told(visit, query, names)
        if "groups" not in told:
            told["by_key"] = tuple(
                msgspec.convert(names.named(shown(each, ("key_id",))), UsageOfKey)
                for each in await add_up(self._ledger, query, ("key_id",))
            )
        return OrganizationUsage(organization_id=visit.organization_id, **told)

    async def key(self, visit: Visit) -> KeyUsage:
        """What one key used: in all, and by day, model and namespace, or by what `group_by` names."""
        found = await self._key(visit)
        query = await self._questions.read(visit, key=found)
        names = await read_names(self._directory, visit.organization_id)
        return KeyUsage(key_id=found.key_id, name=found.name, **await self._told(visit, query, names))

    async def endpoints_of_key(self, visit: Visit) -> tuple[UsageOfOperation, ...]:
        """What one key used by operation; all of them have one path."""
        query = await self._questions.read(visit, key=await self._key(visit))
        groups = await add_up(self._ledger, query, ("operation",), with_latency=True)
        where = {"endpoint": _INFERENCE, "method": "POST"}
        return tuple(
            msgspec.convert(where | shown(each, ("operation",)), UsageOfOperation) for each in groups
        )

    async def performance(self, visit: Visit) -> tuple[ModelPerformance, ...]:
        """Each model's counts, errors, tokens, cost and latencies in the last hours."""
        end = datetime.now(UTC)
        query = UsageQuery(
            organization_id=visit.organization_id,
            start=end - timedelta(hours=visit.ask(_HOURS)),
            end=end,
            namespaces=await self._questions.seen_namespaces(visit),
        )
        groups = await add_up(self._ledger, query, ("provider", "model"), with_latency=True)
        wanted = visit.ask(_MODEL_NAME)
        return tuple(
            _performance(each)
            for each in groups
            if wanted in (None, "", each.key[1], f"{each.key[0]}/{each.key[1]}")
        )

    async def summary(self, visit: Visit) -> CostSummary:
        """What each operation cost, the dearest first. Nothing is billed in credits here: they are 0."""
        query = await self._questions.read(visit, START_DATE, END_DATE)
        groups = await add_up(self._ledger, query, ("operation",))
        total = shown(total_of(groups))
        return CostSummary(
            organization_id=visit.organization_id,
            start=query.start,
            end=query.end,
            usage=tuple(sorted(map(_cost, groups), key=lambda row: -row.cost_microusd)),
            total_credits=0,
            total_cost=total["cost_usd"],
            unpriced_calls=total["unpriced_calls"],
        )

    async def _told(self, visit: Visit, query: UsageQuery, names: Names) -> dict[str, Any]:
        """The sums in all, and by what is asked for; if nothing is, by day, by model and by namespace."""
        models = await add_up(self._ledger, query, ("provider", "model"), with_latency=True)
        total = msgspec.convert(shown(total_of(models)), UsageTotal)
        told: dict[str, Any] = {"start": query.start, "end": query.end, "total": total}
        wanted = dimensions(visit, query)
        if wanted:
            groups = await add_up(self._ledger, query, wanted, with_latency=True)
            if len(groups) > _MOST_GROUPS:
                message = f"that is {len(groups)} groups; {_MOST_GROUPS} are told at most"
                raise InvalidShape.at(["query", "group_by"], "value_error", message)
            return told | {
                "groups": tuple(
                    msgspec.convert(names.named(shown(each, wanted)), UsageGroup) for each in groups
                )
            }
        days = await add_up(self._ledger, query, ("day",), with_latency=True)
        namespaces = await add_up(self._ledger, query, ("namespace_id",), with_latency=True)
        return told | {
            "by_day": tuple(msgspec.convert(shown(each, ("day",)), UsageOfDay) for each in days),
            "by_model": tuple(
                msgspec.convert(shown(each, ("provider", "model")), UsageOfModel) for each in models
            ),
            "by_namespace": tuple(
                msgspec.convert(names.named(shown(each, ("namespace_id",))), UsageOfNamespace)
                for each in namespaces
            ),
        }

    async def _key(self, visit: Visit) -> ApiKey:
        """The key of the path."""
        email = visit.request.path_params.get("email")
        return await self._questions.require_key(
            visit, visit.place("key"), None if email is None else str(email)
        )


def _performance(group: Group) -> ModelPerformance:
    told = shown(group, ("provider", "model"))
    latencies = told["latency_ms"]
    also = {"model_name": told["model"], "count": told["calls"], "error_rate": error_rate(group)}
    percentiles = {f"{name}_ms": latencies[name] for name in ("p50", "p95", "p99")}
    return msgspec.convert(told | also | percentiles, ModelPerformance)


def _cost(group: Group) -> OperationCost:
    told = shown(group, ("operation",))
    return msgspec.convert(told | {"operation_type": told["operation"], "credits": 0}, OperationCost)
