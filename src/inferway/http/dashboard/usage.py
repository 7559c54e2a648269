"""The page of usage: what calls cost, how many there were and how long they took, as figures, charts and files."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.asked import Asked, read_asked
from inferway.http.dashboard.charts import Chart, columns, lines
from inferway.http.dashboard.choices import choices_of
from inferway.http.dashboard.export import write_csv
from inferway.http.dashboard.figures import (
    GROUPS,
    MEASURES,
    Row,
    figures_of,
    measure_of,
    percentiles,
    places_of,
    rows_of,
    spread,
)
from inferway.http.dashboard.frame import (
    compact,
    count,
    milliseconds,
    page_headers,
    short_milliseconds,
    short_usd,
    usd,
)
from inferway.http.dashboard.period import PERIODS
from inferway.http.dashboard.view import View, Visitor

_USAGE = "/v1/organizations/usage"
_ROWS_MAX = 200
_EXPORT = (
    *("calls", "errors", "retries", "streamed", "cached", "prompt_tokens", "completion_tokens"),
    *("cost_usd", "unpriced_calls", "mean_ms", "p50_ms", "p95_ms", "p99_ms"),
)
_WRITERS = {
    "cost": (usd, short_usd),
    "calls": (count, compact),
    "tokens": (count, compact),
    "errors": (count, compact),
}
"""How a measure's values are told, and how they are told beside the axis."""


class UsagePages:
    """The page and its files."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        return (
            View(method="GET", path="/usage", handler=self.show),
            View(method="GET", path="/usage/export/{kind}", handler=self.export),
        )

    async def show(self, visitor: Visitor) -> Response:
        """Figures, charts and a table."""
        asked = read_asked(visitor.query, datetime.now(UTC))
        everything = await visitor.api.get(_USAGE, query=_all_of(asked))
        told, problem = everything, asked.period.problem
        if asked.picks:
            try:
                told = await visitor.api.get(_USAGE, query=asked.query(""))
            except Refused as refusal:
                if refusal.status not in (404, 422):
                    raise
                asked, problem = msgspec.structs.replace(asked, picks={}), refusal.message
        groups, by_time, apart = await _grouped(visitor, asked)
        rows = rows_of(groups, asked.by)
        return await visitor.show(
            "usage.html",
            asked=asked,
            problem=problem,
            periods=PERIODS,
            groups={name: name.capitalize() for name in GROUPS},
            measures=MEASURES,
            choices=choices_of(everything, asked.picks),
            total=figures_of(told["total"]),
            unpriced=_unpriced(told),
            chart=_columns_of(asked, apart),
            latencies=_lines_of(asked, by_time),
            rows=rows[:_ROWS_MAX],
            left_out=max(0, len(rows) - _ROWS_MAX),
        )

    async def export(self, visitor: Visitor) -> Response:
        """The figures as CSV or JSON: by group, or by day (hour) and group."""
        asked = read_asked(visitor.query, datetime.now(UTC))
        is_by_time = visitor.query("rows") == "time"
        wanted = GROUPS[asked.by]
        by = ",".join((asked.period.unit, *wanted) if is_by_time else wanted)
        told = await visitor.api.get(_USAGE, query=asked.query(by))
        head = {
            "content-disposition": f'attachment; filename="{_file_name(asked)}.{_kind(visitor)}"',
            **page_headers(),
        }
        if _kind(visitor) == "json":
            return Response(msgspec.json.encode(told), headers=head, media_type="application/json")
        named = [name for name in ("namespace", "key") if name in wanted]
        names = [
            *((asked.period.unit,) if is_by_time else ()),
            *(_ids(wanted)),
            *(f"{n}_name" for n in named),
        ]
        rows = [_exported(group) for group in told["groups"]]
        content = write_csv([*names, *_EXPORT], rows)
        return Response(content, headers=head, media_type="text/csv; charset=utf-8")


async def _grouped(visitor: Visitor, asked: Asked) -> tuple[list[Any], list[Any], list[Any]]:
    """The groups; those of each day or hour; and both at once, of which there may be too many: then by day or hour alone."""
    by, unit = ",".join(GROUPS[asked.by]), asked.period.unit

    async def apart() -> list[Any]:
        try:
            found = await visitor.api.get(_USAGE, query=asked.query(f"{unit},{by}"))
        except Refused as refusal:
            if refusal.status != 422:
                raise
            return []
        return list(found["groups"])

    groups, by_time, both = await asyncio.gather(
        visitor.api.get(_USAGE, query=asked.query(by)),
        visitor.api.get(_USAGE, query=asked.query(unit)),
        apart(),
    )
    return list(groups["groups"]), list(by_time["groups"]), both


def _all_of(asked: Asked) -> dict[str, Any]:
    return asked.query("", is_picked=False)


def _columns_of(asked: Asked, groups: list[Any]) -> Chart:
    write, axis = _WRITERS[asked.measure]
    series = spread(groups, asked.by, asked.period, measure_of(asked.measure))
    return columns(places_of(asked.period), series, write, axis, whole=asked.measure != "cost")


def _lines_of(asked: Asked, groups: list[Any]) -> Chart | None:
    series = percentiles(groups, asked.period)
    return lines(places_of(asked.period), series, milliseconds, short_milliseconds) if series else None


def _unpriced(told: dict[str, Any]) -> list[Row]:
    """The models whose calls have no price, those with most calls first."""
    rows = [row for row in rows_of(told["by_model"], "model") if row.figures.unpriced]
    return sorted(rows, key=lambda row: -row.figures.unpriced)


def _ids(wanted: tuple[str, ...]) -> list[str]:
    return [{"key": "key_id", "namespace": "namespace_id"}.get(name, name) for name in wanted]


def _exported(group: dict[str, Any]) -> dict[str, Any]:
    latency = {f"{name}_ms": value for name, value in group["latency_ms"].items()}
    tokens = {f"{name}_tokens": group["tokens"][name] for name in ("prompt", "completion")}
    return group | latency | tokens


def _kind(visitor: Visitor) -> str:
    return "json" if visitor.place("kind") == "json" else "csv"


def _file_name(asked: Asked) -> str:
    return f"usage-by-{asked.by}-{asked.period.first_day}-to-{asked.period.last_day}"
