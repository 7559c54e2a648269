"""What a request asks of the ledger: its range, what it picks and what it groups by, within what the key may see."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from inferway.access.administration import find_by_reference
from inferway.access.directory import Directory
from inferway.access.records import ApiKey, Namespace
from inferway.errors import InvalidShape, NotFound
from inferway.http.admin.endpoint import Visit
from inferway.http.admin.query import Choice, Moment, Text, Words
from inferway.types import Operation
from inferway.usage.queries import Dimension, UsageQuery
from inferway.usage.rollups import STATUSES

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

_FROM = "The first moment, rounded down to the hour; 30 days before the end if it is not given."
_TO = "The last moment, rounded up to the hour; now if it is not given."
START, END = Moment(name="start", about=_FROM), Moment(name="end", about=_TO)
START_DATE, END_DATE = Moment(name="start_date", about=_FROM), Moment(name="end_date", about=_TO)
KEY = Text(name="key", about="Of one key, by its id or name.")
_NAMESPACE = Words(name="namespace", about="Of these namespaces, by id or name.")
_PROVIDER = Text(name="provider", about="Of one provider.")
_MODEL = Text(name="model", about="Of one model.")
_OPERATION = Choice(name="operation", about="Of one operation.", choices=tuple(Operation), may_be_empty=True)
_STATUS = Choice(name="status", about="Of calls that ended so.", choices=STATUSES, may_be_empty=True)
PICKED = (_NAMESPACE, _PROVIDER, _MODEL, _OPERATION, _STATUS)
"""What every question may pick by."""

_MOST_DIMENSIONS = 3
GROUP_BY = Words(
    name="group_by",
    about="Groups by up to three of these instead; by the hour for 92 days at most.",
    choices=tuple(DIMENSIONS),
    most=_MOST_DIMENSIONS,
)
_SPAN = timedelta(days=30)
_MOST_DAYS = 3660
_MOST_HOURLY_DAYS = 92


class Questions:
    """Reads the query of a request."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def read(
        self, visit: Visit, start: Moment = START, end: Moment = END, *, key: ApiKey | None = None
    ) -> UsageQuery:
        """What the request picks; `key` is the one that its path names.

        Raises `InvalidShape`, and `NotFound` for a key or a namespace that is not there or out of scope.
        """
        since, until = _range(visit, start, end)
        named = visit.ask(KEY) if key is None else None
        if named:
            key = await self.require_key(visit, named)
        return UsageQuery(
            organization_id=visit.organization_id,
            start=since,
            end=until,
            namespaces=await self._namespaces(visit, key),
            key_id=None if key is None else key.key_id,
            provider=visit.ask(_PROVIDER) or None,
            model=visit.ask(_MODEL) or None,
            operation=visit.ask(_OPERATION),
            status=visit.ask(_STATUS),
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
        wanted = visit.ask(_NAMESPACE)
        if wanted:
            known = await self._directory.list_namespaces(visit.organization_id)
            return tuple(dict.fromkeys(_namespace_id(visit, known, each) for each in wanted))
        if key is not None:
            is_own = key.key_id == visit.holder.key.key_id
            if is_own or visit.may_see("api_key", key.key_id, key.name):
                return None
        return await self.seen_namespaces(visit)


def dimensions(visit: Visit, query: UsageQuery) -> tuple[Dimension, ...]:
    """What `group_by` names; `InvalidShape` for hours of more than 92 days."""
    wanted = tuple(dict.fromkeys(visit.ask(GROUP_BY)))
    if "hour" in wanted and query.end - query.start > timedelta(days=_MOST_HOURLY_DAYS):
        message = f"group_by=hour takes {_MOST_HOURLY_DAYS} days at most"
        raise InvalidShape.at(["query", "group_by"], "value_error", message)
    return tuple(DIMENSIONS[each] for each in wanted)


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


def _range(visit: Visit, start: Moment, end: Moment) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    until = visit.ask(end) or now
    since = visit.ask(start) or _before(min(until, now))
    if not timedelta() <= until - since <= timedelta(days=_MOST_DAYS):
        message = f"{end.name} lies behind {start.name}, by {_MOST_DAYS} days at most"
        raise InvalidShape.at(["query", end.name], "value_error", message)
    return since, until


def _before(moment: datetime) -> datetime:
    try:
        return moment - _SPAN
    except OverflowError:
        return moment
