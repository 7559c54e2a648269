"""The calls that a namespace keeps, over HTTP: what was asked, what came of it, and what it used."""

import re
from typing import Any

import msgspec

from inferway.access.administration import event_of
from inferway.access.directory import Directory
from inferway.access.records import Permission
from inferway.cache.contents import CallHead, CallPlace
from inferway.errors import InvalidShape, NotFound
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.places import require_namespace
from inferway.pipeline.recall import Recall, moment_of
from inferway.usage.ledger import Ledger
from inferway.usage.records import AttemptRecord, UsageRecord

_CALLS = "/v1/namespaces/{namespace}/calls"
_CALL = _CALLS + "/{call}"
_LIMIT, _LIMIT_MAX = 50, 500
_CURSOR = re.compile(r"([0-9]{1,18})_([0-9a-f]{1,64})")


class CallRoutes:
    """The routes of kept calls. They need an administrator, as they show what others asked."""

    def __init__(self, directory: Directory, ledger: Ledger, recall: Recall) -> None:
        self._directory, self._ledger, self._recall = directory, ledger, recall

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        return tuple(
            Endpoint(method="GET", path=path, permission=Permission.ADMIN, scope="visible", handler=handler)
            for path, handler in ((_CALLS, self.list), (_CALL, self.get))
        )

    async def list(self, visit: Visit) -> object:
        """The calls that a namespace keeps, the newest first, by page; without what they say."""
        namespace = await require_namespace(self._directory, visit)
        limit = visit.number("limit", _LIMIT, 1, _LIMIT_MAX)
        heads = await self._recall.list_calls(namespace, before=_place(visit), limit=limit + 1)
        page = heads[:limit]
        return {
            "results": [_shown_head(head) for head in page],
            "keep_content": None if namespace.keep_days is None else {"days": namespace.keep_days},
            "next_cursor": f"{page[-1].at_us}_{page[-1].record_id}" if len(heads) > limit else None,
        }

    async def get(self, visit: Visit) -> object:
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
        return {
            **_shown_head(head),
            "record": None if record is None else _shown_record(record),
            **{name: _raw(getattr(content, name)) for name in ("request", "answer", "error")},
        }


def _place(visit: Visit) -> CallPlace | None:
    text = visit.request.query_params.get("cursor")
    if text is None:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidShape.at(["query", "cursor"], "value_error", "cursor is what an earlier page gave")
    return CallPlace(at_us=int(match[1]), record_id=match[2])


def _shown_head(head: CallHead) -> dict[str, Any]:
    return {
        "record_id": head.record_id,
        "request_id": head.request_id,
        "time": moment_of(head.at_us),
        "operation": head.operation,
        "provider": head.provider,
        "model": head.model,
        "status": head.status,
    }


def _raw(text: bytes | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)


def _shown_record(record: UsageRecord) -> dict[str, Any]:
    """The call's row in the ledger, as far as it concerns one call."""
    return {
        "key_id": record.key_id,
        "error_type": record.error_type,
        "error_code": record.error_code,
        "latency_ms": record.latency_ms,
        "upstream_ms": record.upstream_ms,
        "first_event_ms": record.first_event_ms,
        "streamed": record.streamed,
        "cached": record.cached,
        "cache_kind": record.cache_kind,
        "retries": record.retries,
        "usage": _usage(record),
        "cost_microusd": record.cost_microusd,
        "price_version": record.price_version,
        "model_version": record.model_version,
        "attempts": [_attempt(each) for each in record.itemized()],
    }


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {**msgspec.structs.asdict(attempt), "usage": _usage(attempt)}


def _usage(of: UsageRecord | AttemptRecord) -> dict[str, Any] | None:
    if of.usage is None:
        return None
    fields = msgspec.structs.asdict(of.usage)
    raw = fields.pop("raw")
    return {**fields, "raw": None if raw is None else raw.decode("utf-8", "replace")}
