"""The page of the audit log: who changed what, when, and from where."""

import json
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from inferway.http.dashboard.asking import unless_forbidden, users_of
from inferway.http.dashboard.entry import Entry, pages_of, skip_of
from inferway.http.dashboard.frame import page_headers, short_usd
from inferway.http.dashboard.view import View, Visitor

_PATH = "/audit"
_LOGS = "/v1/organizations/audit/logs"
_PAGE = 50
_SHOWN_CHARACTERS = 300
_KINDS = ("api_key", "namespace", "organization", "secret", "user")
_FILTERS = ("resource_type", "resource_id", "actor_id", "action")
_MONEY = "_microusd"
_PASSED_ON = ("content-type", "content-disposition")


class AuditPage:
    """The audit log."""

    def views(self) -> tuple[View, ...]:
        """The page and its export."""
        return (
            View(method="GET", path=_PATH, handler=self.list),
            View(method="GET", path=_PATH + "/export", handler=self.export),
        )

    async def list(self, visitor: Visitor) -> Response:
        """The events that are asked for, the newest first."""
        asked, entry = _asked(visitor)
        skip = skip_of(visitor.query("skip"))
        found = None
        if not entry.is_wrong:
            query = _query(entry) | {"skip": skip, "limit": _PAGE}
            found = await unless_forbidden(visitor.api.get(_LOGS, query=query))
        events = [] if found is None else found["results"]
        return await visitor.show(
            "audit.html",
            entry.status,
            entry=entry,
            is_allowed=found is not None or entry.is_wrong,
            events=[{**each, "told": told(each["changes"])} for each in events],
            kinds=(("", "Everything"), *((kind, kind.replace("_", " ")) for kind in _KINDS)),
            users=await users_of(visitor),
            asked=asked,
            pages=pages_of(_PATH, asked, total=found["total"] if found else 0, skip=skip, limit=_PAGE),
        )

    async def export(self, visitor: Visitor) -> Response:
        """The same events as a file of comma-separated values."""
        _, entry = _asked(visitor)
        query = {} if entry.is_wrong else _query(entry)
        reply = await visitor.api.ask("GET", _LOGS + "/export", query)
        if reply.status != 200:
            # Asked for again as JSON, so that the refusal is told as on any page.
            await visitor.api.get(_LOGS, query=query | {"limit": 1})
        headers = page_headers() | {name: reply.headers[name] for name in _PASSED_ON if name in reply.headers}
        return Response(reply.body, reply.status, headers=headers)


def told(changes: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    """What an event tells, as name, what was (None: nothing), and what is."""
    lines: list[tuple[str, str | None, str]] = []
    for name, value in changes.items():
        label = _label(name)
        if isinstance(value, dict) and value.keys() == {"old", "new"}:
            lines.append((label, said(value["old"], name), said(value["new"], name)))
        elif value not in (None, "", [], {}):
            lines.append((label, None, said(value, name)))
    return lines


def said(value: Any, name: str = "") -> str:
    """A value as a person would write it, cut where it is long; `name` is what it is of."""
    if value in (None, "", [], {}):
        return "nothing"
    if name.endswith(_MONEY) and isinstance(value, int):
        return short_usd(value / 1_000_000)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        text = ", ".join(value)
    elif isinstance(value, dict):
        parts = [f"{_label(name)}: {said(each, name)}" for name, each in value.items()]
        text = "; ".join(parts)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _label(name: str) -> str:
    return name.removesuffix(_MONEY).replace("_", " ")


def _asked(visitor: Visitor) -> tuple[dict[str, str], Entry]:
    asked = {name: visitor.query(name).strip() for name in (*_FILTERS, "first_day", "last_day")}
    entry = Entry(asked)
    entry.end_of_day("last_day")
    entry.end_of_day("first_day")
    return asked, entry


def _query(entry: Entry) -> dict[str, str]:
    """What the API is asked: days are whole days in UTC."""
    query = {name: entry.value(name) for name in _FILTERS}
    if entry.text("first_day"):
        query["start"] = datetime.fromisoformat(entry.value("first_day")).replace(tzinfo=UTC).isoformat()
    end = entry.end_of_day("last_day")
    return query | ({"end": end.isoformat()} if end else {})
