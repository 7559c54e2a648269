"""The pages of single calls: the newest ones, and where the time and the money of one went."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.asked import read_asked
from inferway.http.dashboard.choices import choices_of
from inferway.http.dashboard.view import View, Visitor
from inferway.http.dashboard.waterfall import lanes_of
from inferway.types import METERS, Operation

_REQUESTS = "/v1/organizations/requests"
_REQUEST = _REQUESTS + "/{request}"
_PAGE = "/requests/{request}"
_LIMIT = 50
_OWN = ("error_code", "request_id")
"""What calls can be picked by here, beside what usage can be."""


class RequestPages:
    """The pages and the form that opens what a namespace keeps."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        return (
            View(method="GET", path="/requests", handler=self.list),
            View(method="GET", path=_PAGE, handler=self.show),
            View(method="POST", path=_PAGE, handler=self.open),
        )

    async def list(self, visitor: Visitor) -> Response:
        """The newest calls, by page."""
        asked = read_asked(visitor.query, datetime.now(UTC))
        own = {name: visitor.query(name).strip() for name in _OWN if visitor.query(name).strip()}
        usage = await visitor.api.get("/v1/organizations/usage", query=asked.span)
        problem, cursor = asked.period.problem, visitor.query("cursor")
        query = {**asked.span, **asked.picks, **own, "limit": _LIMIT, "cursor": cursor}
        try:
            told = await visitor.api.get(_REQUESTS, query=query)
        except Refused as refusal:
            if refusal.status not in (404, 422):
                raise
            told, problem = {"results": [], "next_cursor": None}, refusal.message
        return await visitor.show(
            "requests.html",
            asked=asked,
            own=own,
            problem=problem,
            choices=choices_of(usage, asked.picks),
            operations=[str(each) for each in Operation],
            calls=told["results"],
            is_first=not cursor,
            older=asked.link("/requests", by="", measure="", **own, cursor=told["next_cursor"])
            if told["next_cursor"]
            else None,
        )

    async def show(self, visitor: Visitor) -> Response:
        """One call; what was asked and answered is not read for it."""
        return await _page(visitor, None)

    async def open(self, visitor: Visitor) -> Response:
        """The same with what the namespace keeps of it. That it was read is in the audit log."""
        call = await visitor.api.get(_REQUEST, request=visitor.place("request"))
        place = {"namespace": call["namespace_id"], "call": call["record_id"]}
        try:
            kept = await visitor.api.get("/v1/namespaces/{namespace}/calls/{call}", **place)
        except Refused as refusal:
            if refusal.status != 404:
                raise
            kept = {}
        texts = {
            name: _pretty(kept[name]) for name in ("request", "answer", "error") if kept.get(name) is not None
        }
        return await _page(visitor, texts)


async def _page(visitor: Visitor, texts: dict[str, str] | None) -> Response:
    """The page of a call; `texts` is what was kept of it, if that was asked for."""
    call = await visitor.api.get(_REQUEST, request=visitor.place("request"))
    me = await visitor.me()
    used = call["usage"] or {}
    return await visitor.show(
        "request.html",
        call=call,
        lanes=lanes_of(call),
        meters=[(name.replace("_", " "), used[name]) for name in METERS if used.get(name)],
        is_admin="admin" in me["key"]["permissions"],
        texts=texts,
    )


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8")
