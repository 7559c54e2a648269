"""What a request asks of the ledger: its range, what it picks and what it groups by, within what the key may see."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, get_args

from inferway.access.administration import find_by_reference
from inferway.access.directory import Directory
from inferway.access.records import ApiKey, Namespace
from inferway.errors import InvalidShape, NotFound
from inferway.http.admin.endpoint import Visit
from inferway.types import Operation
from inferway.usage.queries import Dimension, UsageQuery
from inferway.usage.records import RecordStatus

DIMENSIONS: Final[dict[str, Dimension]] = {
    "day": "day",
    "hour": "hour",
    "provider": "provider",
    "model": "model",
    "operation": "operation",
    "status": "status",
    "namespace": "namespace_id",
    "key": "key_id",
}
"""What `group_by` may name, and under what name the groups tell it."""

_SPAN = timedelta(days=30)
_MOST_DAYS = 3660
_MOST_HOURLY_DAYS = 92
_MOST_DIMENSIONS = 3


class Questions:
    """Reads the query of a request."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def read(
        self, visit: Visit, start: str = "start", end: str = "end", *, key: ApiKey | None = None
    ) -> UsageQuery:
        """What the request picks; `key` is the one that its path names.

        Raises `InvalidShape`, and `NotFound` for a key or a namespace that is not there or out of scope.
        """
        since, until = _range(visit, start, end)
        params = visit.request.query_params
        if key is None and params.get("key"):
            key = await self.require_key(visit, params["key"])
        return UsageQuery(
            organization_id=visit.organization_id,
            start=since,
            end=until,
            namespaces=await self._namespaces(visit, key),
            key_id=None if key is None else key.key_id,
            provider=params.get("provider") or None,
            model=params.get("model") or None,
            operation=_one_of(visit, "operation", [str(each) for each in Operation]),
            status=_one_of(visit, "status", get_args(RecordStatus)),
        )

    async def seen_namespaces(self, visit: Visit) -> tuple[str, ...] | None:
        """The namespaces that the key may see; None for all, those that were removed among them."""
        if visit.may_see("organization", visit.organization_id):
            return None
        return tuple(
            each.namespace_id
            for each in await self._directory.list_namespaces(visit.organization_id)
            if visit.may_see("namespace", each.namespace_id, each.name)
        )

    async def require_key(self, visit: Visit, reference: str, email: str | None = None) -> ApiKey:
        """A key by id or name; `NotFound` for one of another organization or user, and for one out of scope."""
        keys = await self._directory.list_keys(visit.organization_id)
        if email is not None:
            user = await self._directory.find_user(visit.organization_id, email)
            keys = tuple(key for key in keys if user is not None and key.user_id == user.user_id)
        found = find_by_reference(keys, reference)
        is_own = found is not None and found.key_id == visit.holder.key.key_id
        if found is None or not (is_own or visit.may_see("api_key", found.key_id, found.name)):
            details = {"resource": "api_key", "id": reference[:100]}
            message = "There is no such key in this organization."
            raise NotFound(message, code="key_not_found", details=details)
        return found

    async def _namespaces(self, visit: Visit, key: ApiKey | None) -> tuple[str, ...] | None:
        """Those that are asked for, else all that the key may see; None for all there ever were."""
        wanted = listed(visit, "namespace")
        if wanted:
            known = await self._directory.list_namespaces(visit.organization_id)
            return tuple(dict.fromkeys(_namespace_id(visit, known, each) for each in wanted))
        if key is not None:
            is_own = key.key_id == visit.holder.key.key_id
            if is_own or visit.may_see("api_key", key.key_id, key.name):
                return None
        return await self.seen_namespaces(visit)


def dimensions(visit: Visit, query: UsageQuery) -> tuple[Dimension, ...]:
    """What `group_by` names; `InvalidShape` for what it may not. Hours are told of 92 days at most."""
    wanted = list(dict.fromkeys(listed(visit, "group_by")))
    if len(wanted) > _MOST_DIMENSIONS or any(each not in DIMENSIONS for each in wanted):
        message = (
            f"group_by is {_MOST_DIMENSIONS} at most of {', '.join(DIMENSIONS)}, with commas between them"
        )
        raise InvalidShape.at(["query", "group_by"], "value_error", message)
    if "hour" in wanted and query.end - query.start > timedelta(days=_MOST_HOURLY_DAYS):
        message = f"group_by=hour takes {_MOST_HOURLY_DAYS} days at most"
        raise InvalidShape.at(["query", "group_by"], "value_error", message)
    return tuple(DIMENSIONS[each] for each in wanted)


def listed(visit: Visit, name: str) -> list[str]:
    """The words of a parameter that may be given several times and hold several with commas between them."""
    return [
        word for text in visit.request.query_params.getlist(name) for word in text.split(",") if word.strip()
    ]


def _namespace_id(visit: Visit, known: Sequence[Namespace], reference: str) -> str:
    for each in known:
        if reference in (each.namespace_id, each.name) and visit.may_see(
            "namespace", each.namespace_id, each.name
        ):
            return each.namespace_id
    if reference.startswith("ns_") and visit.may_see("organization", visit.organization_id):
        # One that was deleted still has its usage.
        return reference
    details = {"resource": "namespace", "id": reference[:128]}
    message = "There is no such namespace in this organization."
    raise NotFound(message, code="namespace_not_found", details=details)


def _range(visit: Visit, start: str, end: str) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    until = visit.moment(end) or now
    since = visit.moment(start) or min(until, now) - _SPAN
    if not timedelta() <= until - since <= timedelta(days=_MOST_DAYS):
        message = f"{end} lies behind {start}, by {_MOST_DAYS} days at most"
        raise InvalidShape.at(["query", end], "value_error", message)
    return since, until


def _one_of(visit: Visit, name: str, known: Sequence[str]) -> str | None:
    given = visit.request.query_params.get(name)
    if given and given not in known:
        raise InvalidShape.at(["query", name], "value_error", f"{name} is one of {', '.join(known)}")
    return given or None
