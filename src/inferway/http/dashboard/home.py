"""The first page: what the day and the week have brought, what wants attention, and what to do first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.charts import Series, columns
from inferway.http.dashboard.figures import Figures, figures_of, measure_of, places_of
from inferway.http.dashboard.frame import compact, count, short_usd, usd
from inferway.http.dashboard.period import Period, read_period
from inferway.http.dashboard.view import View, Visitor

_USAGE = "/v1/organizations/usage"
_NEAR = 0.8
"""From this part of a budget on it is told."""

_EVER = timedelta(days=3650)
_DAY = timedelta(days=1)


class Warned(Struct, frozen=True, kw_only=True):
    """Something that wants attention, and the page that shows more of it."""

    text: str
    href: str
    action: str


class Home:
    """The first page."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        return (View(method="GET", path="/", handler=self.show),)

    async def show(self, visitor: Visitor) -> Response:
        """The week's figures, or where to begin."""
        now = datetime.now(UTC)
        week = read_period(lambda name: "7d" if name == "period" else "", now)
        told = await _usage(visitor, week.start, week.end, "day")
        days = told["groups"]
        today = _of_today(days, week)
        return await visitor.show(
            "home.html",
            today=today,
            week=figures_of(told["total"]),
            costs=_chart(days, week, "cost"),
            calls=_chart(days, week, "calls"),
            warnings=await _warnings(visitor, told["total"], days, now),
            is_new=not told["total"]["calls"] and not await _was_ever_called(visitor, now),
        )


async def _usage(visitor: Visitor, start: datetime, end: datetime, group_by: str) -> dict[str, Any]:
    query = {"start": start.isoformat(), "end": end.isoformat(), "group_by": group_by}
    told: dict[str, Any] = await visitor.api.get(_USAGE, query=query)
    return told


async def _was_ever_called(visitor: Visitor, now: datetime) -> bool:
    told = await _usage(visitor, now - _EVER, now + _DAY, "provider")
    return bool(told["total"]["calls"])


def _of_today(days: list[dict[str, Any]], week: Period) -> Figures | None:
    """The figures of the last day; None while nothing was called."""
    last = week.end - _DAY
    return next((figures_of(day) for day in days if datetime.fromisoformat(day["day"]) == last), None)


def _chart(days: list[dict[str, Any]], week: Period, measure: str) -> Any:
    take = measure_of(measure)
    values = {datetime.fromisoformat(day["day"]): take(day) for day in days}
    series = Series(name=measure.capitalize(), values=tuple(values.get(at, 0.0) for at in week.moments()))
    write, axis = (usd, short_usd) if measure == "cost" else (count, compact)
    return columns(places_of(week), [series], write, axis, whole=measure != "cost")


async def _warnings(
    visitor: Visitor, total: dict[str, Any], days: list[dict[str, Any]], now: datetime
) -> list[Warned]:
    found = [*await _unwell(visitor), *await _near_budgets(visitor, days, now)]
    unpriced = total["unpriced_calls"]
    if unpriced:
        calls = "call of the last 7 days has" if unpriced == 1 else "calls of the last 7 days have"
        text = f"{unpriced:,} {calls} no price: the cost is in none of these figures."
        found.append(Warned(text=text, href="/usage?period=7d", action="See which"))
    return found


async def _unwell(visitor: Visitor) -> list[Warned]:
    health = await visitor.api.get("/v1/health/deep")
    return [
        Warned(
            text=f"{name.replace('_', ' ').capitalize()}: {said}.",
            href="/health",
            action="See the health page",
        )
        for name, said in (health["errors"] or {}).items()
        if said
    ]


async def _near_budgets(visitor: Visitor, days: list[dict[str, Any]], now: datetime) -> list[Warned]:
    """The budgets of the organization that are nearly spent; none for a key that may not see them."""
    try:
        limits = (await visitor.api.get("/v1/organizations"))["spend_limits"]
    except Refused as refusal:
        if refusal.status != 403:
            raise
        return []
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    spent = {"daily": sum(day["cost_usd"] for day in days if datetime.fromisoformat(day["day"]) == midnight)}
    if limits["monthly_usd"] is not None:
        month = await _usage(visitor, midnight.replace(day=1), midnight + _DAY, "provider")
        spent["monthly"] = month["total"]["cost_usd"]
    return [
        Warned(
            text=f"{usd(amount)} of the organization's {name} budget of {usd(limits[f'{name}_usd'])} is spent.",
            href="/settings/limits",
            action="See the budgets",
        )
        for name, amount in spent.items()
        if limits[f"{name}_usd"] is not None and amount >= _NEAR * limits[f"{name}_usd"]
    ]
