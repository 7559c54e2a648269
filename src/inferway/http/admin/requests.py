"""The newest calls over HTTP, and all that is known of one; a key with scopes sees what lies within them."""

from typing import Any

from msgspec.structs import asdict

from inferway.access.directory import Directory
from inferway.access.records import Permission
from inferway.errors import NotFound
from inferway.http.admin.calls import Cursor, shown_attempt, used_of
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.names import Names, read_names
from inferway.http.admin.query import Moment, Number, Text
from inferway.http.admin.request_answers import RequestLine, RequestLines, ShownRequest
from inferway.http.admin.shown import MICRO, shown_days
from inferway.http.admin.usage_answers import Tokens
from inferway.http.admin.usage_questions import KEY, PICKED, Questions
from inferway.pipeline.recall import microseconds_of, moment_of
from inferway.types import Usage
from inferway.usage.ledger import Ledger
from inferway.usage.queries import Place, UsageQuery
from inferway.usage.recent import CallPage, newest_calls
from inferway.usage.records import UsageRecord

_REQUESTS = "/v1/organizations/requests"
_LIMIT = Number(name="limit", about="How many at most.", default=50, least=1, most=500)
_START = Moment(name="start", about="From this moment on; 30 days before the end if it is not given.")
_END = Moment(name="end", about="Before this moment; now if it is not given.")
_ERROR = Text(name="error_code", about="Of calls that ended with this error.")
_REQUEST = Text(name="request_id", about="With this request id, whenever they were made.")
_SAME_ID_MAX = 500
_CURSOR = Cursor()


class RequestRoutes:
    """The routes of single calls. They tell what was used and how it went, and nothing of what was asked or answered."""

    def __init__(self, directory: Directory, ledger: Ledger) -> None:
        self._directory, self._ledger, self._questions = directory, ledger, Questions(directory)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        return (
            Endpoint(
                name="list_requests",
                method="GET",
                path=_REQUESTS,
                permission=Permission.READ,
                scope="visible",
                handler=self.list,
                query=(_START, _END, *PICKED, KEY, _ERROR, _REQUEST, _LIMIT, _CURSOR),
                refusals=(404,),
            ),
            Endpoint(
                name="get_request",
                method="GET",
                path=_REQUESTS + "/{request}",
                permission=Permission.READ,
                scope="visible",
                handler=self.get,
            ),
        )

    async def list(self, visit: Visit) -> RequestLines:
        """The newest calls first, by page. A page may hold fewer than were asked for and still have a `next_cursor`."""
        query = await self._questions.read(visit, _START, _END)
        names = await read_names(self._directory, visit.organization_id)
        page = await self._page(visit, query)
        cursor = page.after
        return RequestLines(
            results=tuple(RequestLine(**_line(each, names)) for each in page.records),
            next_cursor=None
            if cursor is None
            else f"{microseconds_of(cursor.started_at)}_{cursor.record_id}",
        )

    async def get(self, visit: Visit) -> ShownRequest:
        """All that the ledger knows of one call, by its request id or its record's: of several with one request id the newest."""
        names = await read_names(self._directory, visit.organization_id)
        record = await self._find(visit, names)
        namespace = await self._directory.find_namespace(visit.organization_id, record.namespace_id)
        return ShownRequest(
            **_line(record, names),
            usage=used_of(record),
            price_version=record.price_version,
            model_version=record.model_version,
            adaptations=record.adaptations,
            attempts=tuple(map(shown_attempt, record.itemized())),
            keep_content=None if namespace is None else shown_days(namespace),
        )

    async def _page(self, visit: Visit, query: UsageQuery) -> CallPage:
        limit, code, request_id = visit.ask(_LIMIT), visit.ask(_ERROR) or None, visit.ask(_REQUEST)
        if request_id:
            known = await self._ledger.find_requests(query.organization_id, request_id, limit=_SAME_ID_MAX)
            picked = [each for each in known if _is_picked(query, code, each)]
            return CallPage(records=tuple(picked[:limit]), after=None)
        asked = visit.ask(_CURSOR)
        after = None if asked is None else Place(started_at=moment_of(asked.at_us), record_id=asked.record_id)
        return await newest_calls(self._ledger, query, error_code=code, after=after, limit=limit)

    async def _find(self, visit: Visit, names: Names) -> UsageRecord:
        reference = visit.place("request")
        found = [
            await self._ledger.find_record(reference),
            *await self._ledger.find_requests(visit.organization_id, reference, limit=_SAME_ID_MAX),
        ]
        for record in found:
            if record is not None and _may_see(visit, record, names):
                return record
        details = {"resource": "request", "id": reference[:128]}
        raise NotFound(
            "There is no such call in this organization.", code="request_not_found", details=details
        )


def _may_see(visit: Visit, record: UsageRecord, names: Names) -> bool:
    if record.organization_id != visit.organization_id:
        return False
    space, key = record.namespace_id, record.key_id
    return (
        visit.may_see("organization", visit.organization_id)
        or key == visit.holder.key.key_id
        or visit.may_see("namespace", space, names.namespaces.get(space, space))
        or visit.may_see("api_key", key, names.keys.get(key, key))
    )


def _is_picked(query: UsageQuery, error_code: str | None, record: UsageRecord) -> bool:
    wanted = {name: getattr(query, name) for name in ("key_id", "provider", "model", "operation", "status")}
    wanted["error_code"] = error_code
    if any(value is not None and getattr(record, name) != value for name, value in wanted.items()):
        return False
    return query.namespaces is None or record.namespace_id in query.namespaces


def _line(record: UsageRecord, names: Names) -> dict[str, Any]:
    fields = asdict(record)
    known = {name: fields[name] for name in RequestLine.__struct_fields__ if name in fields}
    return names.named(known) | {
        "time": record.started_at,
        "tokens": _tokens(record.usage),
        "cost_usd": None if record.cost_microusd is None else record.cost_microusd / MICRO,
    }


def _tokens(usage: Usage) -> Tokens:
    told = usage.tokens_used() or {"prompt": 0, "completion": 0, "total": 0}
    return Tokens(prompt=told["prompt"], completion=told["completion"], total=told["total"])
