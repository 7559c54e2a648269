"""What was used and what it cost, over HTTP; a key with scopes sees what lies within them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from inferway.access.directory import Directory
from inferway.access.records import ApiKey, Permission
from inferway.errors import InvalidShape
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.usage_questions import Questions, dimensions
from inferway.usage.ledger import Ledger
from inferway.usage.queries import Dimension, UsageQuery
from inferway.usage.reports import Group, add_up, error_rate, shown, total_of

_ORGANIZATION = "/v1/organizations/usage"
_KEY = "/v1/organizations/api-keys/{key:path}/usage"
_USERS_KEY = "/v1/organizations/users/{email}/api-keys/{key:path}/usage"
_PERFORMANCE = "/v1/analytics/inference/performance"
_SUMMARY = "/v1/analytics/usage/summary"
_MOST_GROUPS = 20_000
_MOST_HOURS = 24 * 366
_DEFAULT_HOURS = 24
_INFERENCE = "/v1/inference"


class UsageRoutes:
    """The routes of usage and cost."""

    def __init__(self, directory: Directory, ledger: Ledger) -> None:
        self._questions, self._ledger = Questions(directory), ledger

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""

        def endpoint(path: str, handler: Any) -> Endpoint:
            return Endpoint(
                method="GET", path=path, permission=Permission.READ, scope="visible", handler=handler
            )

        return (
            endpoint(_ORGANIZATION, self.organization),
            endpoint(_KEY, self.key),
            endpoint(_KEY + "/endpoints", self.endpoints_of_key),
            endpoint(_USERS_KEY, self.key),
            endpoint(_USERS_KEY + "/endpoints", self.endpoints_of_key),
            endpoint(_PERFORMANCE, self.performance),
            endpoint(_SUMMARY, self.summary),
        )

    async def organization(self, visit: Visit) -> object:
        """What the organization used: in all, and by day, model, namespace and key, or by what `group_by` names."""
        query = await self._questions.read(visit)
        return {
            "organization_id": visit.organization_id,
            **_range(query),
            **await self._told(visit, query, ("namespace_id", "key_id")),
        }

    async def key(self, visit: Visit) -> object:
        """What one key used: in all, and by day, model and namespace, or by what `group_by` names."""
        found = await self._key(visit)
        query = await self._questions.read(visit, key=found)
        return {
            "key_id": found.key_id,
            "name": found.name,
            **_range(query),
            **await self._told(visit, query, ("namespace_id",)),
        }

    async def endpoints_of_key(self, visit: Visit) -> object:
        """What one key used by operation; all of them have one path."""
        query = await self._questions.read(visit, key=await self._key(visit))
        groups = await add_up(self._ledger, query, ("operation",), with_latency=True)
        return [{"endpoint": _INFERENCE, "method": "POST", **shown(each, ("operation",))} for each in groups]

    async def performance(self, visit: Visit) -> object:
        """Each model's counts, errors, tokens, cost and latencies in the last hours."""
        hours = visit.number("hours", _DEFAULT_HOURS, 1, _MOST_HOURS)
        end = datetime.now(UTC)
        query = UsageQuery(
            organization_id=visit.organization_id,
            start=end - timedelta(hours=hours),
            end=end,
            namespaces=await self._questions.seen_namespaces(visit),
        )
        groups = await add_up(self._ledger, query, ("provider", "model"), with_latency=True)
        wanted = visit.request.query_params.get("model_name")
        return [
            _performance(each)
            for each in groups
            if wanted in (None, "", each.key[1], f"{each.key[0]}/{each.key[1]}")
        ]

    async def summary(self, visit: Visit) -> object:
        """What each operation cost, the dearest first. Nothing is billed in credits here: they are 0."""
        query = await self._questions.read(visit, "start_date", "end_date")
        groups = await add_up(self._ledger, query, ("operation",))
        rows = [
            {"operation_type": each["operation"], "credits": 0, **each}
            for each in (shown(group, ("operation",)) for group in groups)
        ]
        rows.sort(key=lambda row: -row["cost_microusd"])
        total = shown(total_of(groups))
        return {
            "organization_id": visit.organization_id,
            **_range(query),
            "usage": rows,
            "total_credits": 0,
            "total_cost": total["cost_usd"],
            "unpriced_calls": total["unpriced_calls"],
        }

    async def _told(self, visit: Visit, query: UsageQuery, by: tuple[Dimension, ...]) -> dict[str, Any]:
        """The sums in all, and by what is asked for; if nothing is, by day, by model and by each of `by`."""
        models = await add_up(self._ledger, query, ("provider", "model"), with_latency=True)
        total = {"total": shown(total_of(models))}
        wanted = dimensions(visit, query)
        if wanted:
            groups = await add_up(self._ledger, query, wanted, with_latency=True)
            if len(groups) > _MOST_GROUPS:
                message = f"that is {len(groups)} groups; {_MOST_GROUPS} are told at most"
                raise InvalidShape.at(["query", "group_by"], "value_error", message)
            return total | {"groups": [shown(each, wanted) for each in groups]}
        told: dict[str, Any] = {"by_model": [shown(each, ("provider", "model")) for each in models]}
        for name in ("day", *by):
            groups = await add_up(self._ledger, query, (name,), with_latency=name != "key_id")
            told[f"by_{name.removesuffix('_id')}"] = [shown(each, (name,)) for each in groups]
        return total | told

    async def _key(self, visit: Visit) -> ApiKey:
        """The key of the path."""
        email = visit.request.path_params.get("email")
        return await self._questions.require_key(
            visit, visit.place("key"), None if email is None else str(email)
        )


def _range(query: UsageQuery) -> dict[str, datetime]:
    return {"start": query.start, "end": query.end}


def _performance(group: Group) -> dict[str, Any]:
    told = shown(group, ("provider", "model"))
    latencies = told["latency_ms"]
    return {
        "model_name": told["model"],
        **told,
        "count": told["calls"],
        "error_rate": error_rate(group),
        **{f"{name}_ms": latencies[name] for name in ("p50", "p95", "p99")},
    }
