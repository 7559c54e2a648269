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
from inferway.http.admin.bodies import OrganizationPatch, SpendLimitsBody
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.lending import Lending
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
                method="GET", path=_ORGANIZATION, permission=read, scope="organization", handler=self.get
            ),
            Endpoint(
                method="PATCH",
                path=_ORGANIZATION,
                permission=admin,
                scope="organization",
                handler=self.change,
            ),
            Endpoint(method="GET", path=_LOGS, permission=admin, scope="organization", handler=self.logs),
            Endpoint(
                method="GET",
                path=_LOGS + "/export",
                permission=admin,
                scope="organization",
                handler=self.export,
            ),
            Endpoint(
                method="GET",
                path=_LOGS + "/{audit_id}",
                permission=admin,
                scope="organization",
                handler=self.log,
            ),
        )

    async def get(self, visit: Visit) -> object:
        """The organization."""
        return shown_organization(visit.holder.organization, self._per_minute)

    async def change(self, visit: Visit) -> object:
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

    async def logs(self, visit: Visit) -> object:
        """The audit log, newest first, by page."""
        skip, limit = visit.number("skip", 0, 0, 1_000_000_000), visit.number("limit", 100, 1, 1000)
        events, total = await self._directory.list_events(
            visit.organization_id, _wanted(visit), skip=skip, limit=limit
        )
        return {
            "results": [shown_event(event) for event in events],
            "total": total,
            "skip": skip,
            "limit": limit,
        }

    async def log(self, visit: Visit) -> object:
        """One audit event."""
        audit_id = visit.place("audit_id")
        event = await self._directory.find_event(visit.organization_id, audit_id)
        if event is None:
            details = {"resource": "audit_event", "id": audit_id[:100]}
            raise NotFound("There is no such audit event.", code="audit_event_not_found", details=details)
        return shown_event(event)

    async def export(self, visit: Visit) -> Response:
        """The audit log as CSV, newest first."""
        most = visit.number("max_events", _EXPORT_MAX, 1, _EXPORT_MAX)
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
                shown = shown_event(event) | {
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
    query = visit.request.query_params
    return AuditFilter(
        **{name: query.get(name) for name in ("resource_type", "resource_id", "actor_id", "action")},
        start=visit.moment("start"),
        end=visit.moment("end"),
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
