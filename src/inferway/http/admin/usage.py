"""What was used and what it cost, over HTTP; a key with scopes sees what lies within them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from inferway.access.administration import find_by_reference
from inferway.access.directory import Directory
from inferway.access.records import ApiKey, Permission
from inferway.errors import InvalidShape, NotFound
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.usage.ledger import Ledger
from inferway.usage.queries import Dimension, UsageQuery
from inferway.usage.reports import Group, add_up, error_rate, shown, total_of

_ORGANIZATION = "/v1/organizations/usage"
_KEY = "/v1/organizations/api-keys/{key:path}/usage"
_USERS_KEY = "/v1/organizations/users/{email}/api-keys/{key:path}/usage"
_PERFORMANCE = "/v1/analytics/inference/performance"
_SUMMARY = "/v1/analytics/usage/summary"
_SPAN = timedelta(days=30)
_MOST_DAYS = 3660
_MOST_HOURS = 24 * 366
_DEFAULT_HOURS = 24
_INFERENCE = "/v1/inference"


class UsageRoutes:
    """The routes of usage and cost."""

    def __init__(self, directory: Directory, ledger: Ledger) -> None:
        self._directory, self._ledger = directory, ledger

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
        """What the organization used: in all, and by day, model, namespace and key."""
        query = await self._query(visit, "start", "end")
        return {
            "organization_id": visit.organization_id,
            **_range(query),
            **await self._parts(query, ("namespace_id", "key_id")),
        }

    async def key(self, visit: Visit) -> object:
        """What one key used: in all, and by day, model and namespace."""
        found = await self._key(visit)
        query = replace(await self._query(visit, "start", "end", found), key_id=found.key_id)
        return {
            "key_id": found.key_id,
            "name": found.name,
            **_range(query),
            **await self._parts(query, ("namespace_id",)),
        }

    async def endpoints_of_key(self, visit: Visit) -> object:
        """What one key used by operation; all of them have one path."""
        found = await self._key(visit)
        query = replace(await self._query(visit, "start", "end", found), key_id=found.key_id)
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
            namespaces=await self._namespaces(visit),
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
        query = await self._query(visit, "start_date", "end_date")
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

    async def _parts(self, query: UsageQuery, by: tuple[Dimension, ...]) -> dict[str, Any]:
        """The sums in all, and by each of several dimensions."""
        models = await add_up(self._ledger, query, ("provider", "model"), with_latency=True)
        days = await add_up(self._ledger, query, ("day",))
        told: dict[str, Any] = {
            "total": shown(total_of(models)),
            "by_day": [shown(each, ("day",)) for each in days],
            "by_model": [shown(each, ("provider", "model")) for each in models],
        }
        for name in by:
            groups = await add_up(self._ledger, query, (name,))
            told[f"by_{name.removesuffix('_id')}"] = [shown(each, (name,)) for each in groups]
        return told

    async def _query(self, visit: Visit, start: str, end: str, key: ApiKey | None = None) -> UsageQuery:
        now = datetime.now(UTC)
        until = visit.moment(end) or now
        since = visit.moment(start) or min(until, now) - _SPAN
        if not timedelta() <= until - since <= timedelta(days=_MOST_DAYS):
            message = f"{end} lies behind {start}, by {_MOST_DAYS} days at most"
            raise InvalidShape.at(["query", end], "value_error", message)
        is_own = key is not None and key.key_id == visit.holder.key.key_id
        is_seen = key is not None and visit.may_see("api_key", key.key_id, key.name)
        namespaces = None if is_own or is_seen else await self._namespaces(visit)
        return UsageQuery(
            organization_id=visit.organization_id, start=since, end=until, namespaces=namespaces
        )

    async def _namespaces(self, visit: Visit) -> tuple[str, ...] | None:
        """The namespaces that the key may see; None for all, those that were removed among them."""
        if visit.may_see("organization", visit.organization_id):
            return None
        return tuple(
            each.namespace_id
            for each in await self._directory.list_namespaces(visit.organization_id)
            if visit.may_see("namespace", each.namespace_id, each.name)
        )

    async def _key(self, visit: Visit) -> ApiKey:
        """The key of the path, by id or name; `NotFound` for one of another organization or user, and for one out of scope."""
        reference, email = visit.place("key"), visit.request.path_params.get("email")
        keys = await self._directory.list_keys(visit.organization_id)
        if email is not None:
            user = await self._directory.find_user(visit.organization_id, str(email))
            keys = tuple(key for key in keys if user is not None and key.user_id == user.user_id)
        found = find_by_reference(keys, reference)
        is_own = found is not None and found.key_id == visit.holder.key.key_id
        if found is None or not (is_own or visit.may_see("api_key", found.key_id, found.name)):
            details = {"resource": "api_key", "id": reference[:100]}
            raise NotFound(
                "There is no such key in this organization.", code="key_not_found", details=details
            )
        return found


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
