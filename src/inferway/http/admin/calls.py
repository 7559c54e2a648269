"""The calls that a namespace keeps, over HTTP: what was asked, what came of it, and what it used."""

import re

import msgspec

from inferway.access.administration import event_of
from inferway.access.directory import Directory
from inferway.access.records import Permission
from inferway.cache.contents import CallHead, CallPlace
from inferway.errors import InvalidShape, NotFound
from inferway.http.admin.answers import CallLine, CallLines, ShownAttempt, ShownCall, ShownRecord, Used
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.places import require_namespace
from inferway.http.admin.query import Number
from inferway.http.admin.shown import shown_days
from inferway.pipeline.recall import Recall, moment_of
from inferway.usage.ledger import Ledger
from inferway.usage.records import AttemptRecord, UsageRecord

_CALLS = "/v1/namespaces/{namespace}/calls"
_CALL = _CALLS + "/{call}"
_LIMIT = Number(name="limit", about="How many at most.", default=50, least=1, most=500)


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list of kept calls goes on."""

    name: str = "cursor"
    about: str = "The `next_cursor` of an earlier page."
    form: str = "^[0-9]{1,17}_[0-9a-f]{1,64}$"

    def read(self, text: str) -> CallPlace | None:
        """See `Parameter`."""
        if not re.fullmatch(self.form, text) or "\n" in text:
            message = f"{self.name} is what an earlier page gave"
            raise InvalidShape.at(["query", self.name], "value_error", message)
        at_us, _, record_id = text.partition("_")
        return CallPlace(at_us=int(at_us), record_id=record_id)

    def otherwise(self) -> CallPlace | None:
        """See `Parameter`."""
        return None

    def schema(self) -> dict[str, str]:
        """See `Parameter`."""
        return {"type": "string", "pattern": self.form}


_CURSOR = Cursor()


class CallRoutes:
    """The routes of kept calls. They need an administrator, as they show what others asked."""

    def __init__(self, directory: Directory, ledger: Ledger, recall: Recall) -> None:
        self._directory, self._ledger, self._recall = directory, ledger, recall

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        return (
            Endpoint(
                name="list_calls",
                method="GET",
                path=_CALLS,
                permission=Permission.ADMIN,
                scope="visible",
                handler=self.list,
                query=(_LIMIT, _CURSOR),
            ),
            Endpoint(
                name="get_call",
                method="GET",
                path=_CALL,
                permission=Permission.ADMIN,
                scope="visible",
                handler=self.get,
            ),
        )

    async def list(self, visit: Visit) -> CallLines:
        """The calls that a namespace keeps, the newest first, by page; without what they say."""
        namespace = await require_namespace(self._directory, visit)
        limit = visit.ask(_LIMIT)
        heads = await self._recall.list_calls(namespace, before=visit.ask(_CURSOR), limit=limit + 1)
        page = heads[:limit]
        return CallLines(
            results=tuple(map(_shown_head, page)),
            keep_content=shown_days(namespace),
            next_cursor=f"{page[-1].at_us}_{page[-1].record_id}" if len(heads) > limit else None,
        )

    async def get(self, visit: Visit) -> ShownCall:
        """One kept call by its request id or its record's: what was asked and answered. That it was read is in the audit log."""
        namespace = await require_namespace(self._directory, visit)
        reference = visit.place("call")
        call = await self._recall.find(namespace, reference)
        if call is None:
            details = {"resource": "call", "id": reference[:128]}
            raise NotFound("Nothing is kept of such a call.", code="call_not_found", details=details)
        content = self._recall.open(call)
        head = call.head
        changes = {"call": head.record_id, "request_id": head.request_id}
        resource = ("namespace", namespace.namespace_id)
        event = event_of(visit.actor, visit.organization_id, resource, "namespace_accessed", changes)
        # Told before it is shown: what cannot be written down is not read.
        await self._directory.add_event(event)
        record = await self._ledger.find_record(head.record_id)
        return ShownCall(
            **msgspec.structs.asdict(_shown_head(head)),
            record=None if record is None else _shown_record(record),
            request=_raw(content.request),
            answer=_raw(content.answer),
            error=_raw(content.error),
        )


def _shown_head(head: CallHead) -> CallLine:
    return CallLine(
        record_id=head.record_id,
        request_id=head.request_id,
        time=moment_of(head.at_us),
        operation=head.operation,
        provider=head.provider,
        model=head.model,
        status=head.status,
    )


def _raw(text: bytes | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)


def _shown_record(record: UsageRecord) -> ShownRecord:
    return ShownRecord(
        key_id=record.key_id,
        error_type=record.error_type,
        error_code=record.error_code,
        latency_ms=record.latency_ms,
        upstream_ms=record.upstream_ms,
        first_event_ms=record.first_event_ms,
        streamed=record.streamed,
        cached=record.cached,
        cache_kind=record.cache_kind,
        retries=record.retries,
        usage=used_of(record),
        cost_microusd=record.cost_microusd,
        price_version=record.price_version,
        model_version=record.model_version,
        attempts=tuple(map(shown_attempt, record.itemized())),
    )


def shown_attempt(attempt: AttemptRecord) -> ShownAttempt:
    """An attempt."""
    return ShownAttempt(**msgspec.structs.asdict(attempt) | {"usage": used_of(attempt)})


def used_of(of: UsageRecord | AttemptRecord) -> Used | None:
    """What a call or an attempt used; None for an attempt of which nobody told."""
    if of.usage is None:
        return None
    fields = msgspec.structs.asdict(of.usage)
    raw = fields.pop("raw")
    return Used(**fields, raw=None if raw is None else raw.decode("utf-8", "replace"))
