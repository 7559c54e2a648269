"""The caller's own organization and its audit log over HTTP."""

import csv
import io
from typing import Any

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from inferway.access.administration import Administration
from inferway.access.directory import AuditFilter, Directory
from inferway.access.records import Permission, SpendBudget
from inferway.errors import NotFound
from inferway.http.admin.answers import Events, ShownEvent, ShownOrganization
from inferway.http.admin.bodies import OrganizationPatch, SpendLimitsBody
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.lending import Lending
from inferway.http.admin.query import Moment, Number, Text
from inferway.http.admin.shown import microusd, shown_event, shown_organization
from inferway.http.render import encode
from inferway.http.wire import request_id_of

_ORGANIZATION = "/v1/organizations"
_LOGS = "/v1/organizations/audit/logs"
_EXPORT_MAX = 200_000
_EXPORT_PAGE = 1000
_COLUMNS = (
    *("audit_id", "timestamp", "resource_type", "resource_id", "action", "actor_id", "actor_type"),
    *("actor_email", "actor_key_name", "status", "ip_address", "user_agent", "changes"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_SKIP = Number(name="skip", about="How many to leave out first.", default=0, least=0, most=1_000_000_000)
_LIMIT = Number(name="limit", about="How many at most.", default=100, least=1, most=1000)
_EVENTS_MAX = Number(
    name="max_events", about="How many at most.", default=_EXPORT_MAX, least=1, most=_EXPORT_MAX
)
_START = Moment(name="start", about="From this moment on.")
_END = Moment(name="end", about="Before this moment.")
_TEXTS = (
    Text(name="resource_type", about="Of things of this kind, such as `namespace`."),
    Text(name="resource_id", about="Of the thing with this id."),
    Text(name="actor_id", about="By the user with this id."),
    Text(name="action", about="Of this kind, such as `namespace_created`."),
)
_FILTER = (*_TEXTS, _START, _END)

_patch = msgspec.json.Decoder(OrganizationPatch)


class OrganizationRoutes:
    """The routes of the organization. `per_minute` is the rate that its keys have when they have none of their own."""

    def __init__(
        self, directory: Directory, administration: Administration, lending: Lending, per_minute: int
    ) -> None:
        self._directory, self._administration = directory, administration
        self._lending, self._per_minute = lending, per_minute

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        admin, read = Permission.ADMIN, Permission.READ
        return (
            Endpoint(
                name="get_organization",
                method="GET",
                path=_ORGANIZATION,
                permission=read,
                scope="organization",
                handler=self.get,
            ),
            Endpoint(
                name="change_organization",
                method="PATCH",
                path=_ORGANIZATION,
                permission=admin,
                scope="organization",
                handler=self.change,
                body=_patch,
                refusals=(409,),
            ),
            Endpoint(
                name="list_events",
                method="GET",
                path=_LOGS,
                permission=admin,
                scope="organization",
                handler=self.logs,
                query=(_SKIP, _LIMIT, *_FILTER),
            ),
            Endpoint(
                name="export_events",
                method="GET",
                path=_LOGS + "/export",
                permission=admin,
                scope="organization",
                handler=self.export,
                query=(_EVENTS_MAX, *_FILTER),
                media_type="text/csv",
            ),
            Endpoint(
                name="get_event",
                method="GET",
                path=_LOGS + "/{audit_id}",
                permission=admin,
                scope="organization",
                handler=self.log,
            ),
        )

    async def get(self, visit: Visit) -> ShownOrganization:
        """The organization."""
        return shown_organization(visit.holder.organization, self._per_minute)

    async def change(self, visit: Visit) -> ShownOrganization:
        """Changes what an organization may change of itself."""
        body = await visit.body(_patch)
        was = visit.holder.organization
        changes: dict[str, Any] = {}
        if body.organization_name is not UNSET:
            changes["name"] = body.organization_name
        for name in ("logo_url", "billing_email", "notifications_email"):
            if getattr(body, name) is not UNSET:
                changes[name] = getattr(body, name)
        if body.metadata is not UNSET:
            changes["metadata"] = body.metadata or {}
        if body.default_llm_credentials is not UNSET:
            given = body.default_llm_credentials
            changes["credentials"] = await self._lending.read(visit.organization_id, given)
        if body.spend_limits is not UNSET:
            limits = body.spend_limits or SpendLimitsBody(**dict.fromkeys(SpendLimitsBody.__struct_fields__))
            changes["spend_budget"] = _with(was.spend_budget, limits.daily_usd, limits.monthly_usd)
            changes["namespace_budget"] = _with(
                was.namespace_budget, limits.namespace_default_daily_usd, limits.namespace_default_monthly_usd
            )
        now = await self._administration.change_organization(was, visit.actor, **changes)
        return shown_organization(now, self._per_minute)

    async def logs(self, visit: Visit) -> Events:
        """The audit log, newest first, by page."""
        skip, limit = visit.ask(_SKIP), visit.ask(_LIMIT)
        events, total = await self._directory.list_events(
            visit.organization_id, _wanted(visit), skip=skip, limit=limit
        )
        return Events(results=tuple(map(shown_event, events)), total=total, skip=skip, limit=limit)

    async def log(self, visit: Visit) -> ShownEvent:
        """One audit event."""
        audit_id = visit.place("audit_id")
        event = await self._directory.find_event(visit.organization_id, audit_id)
        if event is None:
            details = {"resource": "audit_event", "id": audit_id[:100]}
            raise NotFound("There is no such audit event.", code="audit_event_not_found", details=details)
        return shown_event(event)

    async def export(self, visit: Visit) -> Response:
        """The audit log as CSV, newest first."""
        most = visit.ask(_EVENTS_MAX)
        wanted = _wanted(visit)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        done = 0
        while done < most:
            limit = min(_EXPORT_PAGE, most - done)
            events, _ = await self._directory.list_events(
                visit.organization_id, wanted, skip=done, limit=limit
            )
            for event in events:
                shown = msgspec.structs.asdict(shown_event(event)) | {
                    "timestamp": event.at.isoformat(),
                    "changes": encode(event.changes).decode("utf-8"),
                }
                writer.writerow([_cell(shown[column]) for column in _COLUMNS])
            done += len(events)
            if len(events) < limit:
                break
        return Response(
            text.getvalue(),
            media_type="text/csv",
            headers={
                "content-disposition": 'attachment; filename="audit.csv"',
                "x-content-type-options": "nosniff",
                "x-request-id": request_id_of(visit.request.scope),
            },
        )


def _wanted(visit: Visit) -> AuditFilter:
    return AuditFilter(
        **{each.name: visit.ask(each) for each in _TEXTS}, start=visit.ask(_START), end=visit.ask(_END)
    )


def _cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_FORMULA) else text


def _with(was: SpendBudget, daily: Any, monthly: Any) -> SpendBudget:
    """A budget with those of its caps changed that were given."""
    return SpendBudget(
        daily_microusd=was.daily_microusd if daily is UNSET else microusd(daily),
        monthly_microusd=was.monthly_microusd if monthly is UNSET else microusd(monthly),
    )
