"""The statements of the ledger: one text for every database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from inferway.store.moments import to_microseconds
from inferway.store.work import Ask, Kind, Merge, Row
from inferway.usage.queries import FILTERS, Dimension, Place, Span, UsageQuery
from inferway.usage.rollups import (
    BY_NAMESPACE,
    COUNTED,
    DAY_HOURS,
    HOURLY,
    WEEK_HOURS,
    WEEKLY,
    LatencyKey,
    Rolled,
)

_Part = tuple[str, list[Any]]

_PLACE: Final[Mapping[str, Kind]] = {
    "organization_id": "text",
    **dict.fromkeys(("view", "hour"), "integer"),
    **dict.fromkeys(("key_id", "namespace_id"), "text"),
}
_NAMES: Final[Mapping[str, Kind]] = dict.fromkeys(("provider", "model", "operation"), "text")
_ROLLUP_KEY: Final[Mapping[str, Kind]] = {**_PLACE, **_NAMES, "status": "text"}
_LATENCY_KEY: Final[Mapping[str, Kind]] = {**_PLACE, "step": "integer", **_NAMES}
"""The tables' own order: hours first in each view, so that new rows lie together, then keys, so that each hour leads to those of one."""

_COUNTS: Final = tuple(f"calls_{number}" for number in range(16))
"""A row has sixteen buckets of a histogram side by side (a step of four doublings): most groups need one or two rows for all of theirs."""
_DAY = "hour / 24 * 24"
_SOUGHT_MAX = 3000
"""So many hours, days or weeks of one key are looked up one by one; of more, all keys' are read."""


def roll_statements(rolled: Rolled) -> list[Merge]:
    """Adds to the rollups. Rows come in the order of their keys, so that two writers never wait crosswise."""
    sums = [
        (organization, view, hour, key_id, namespace_id, *names, *values)
        for (organization, view, hour, namespace_id, key_id, *names), values in rolled.sums.items()
        if any(values)
    ]
    latencies = [
        (organization, view, hour, key_id, namespace_id, step, *names, *counts)
        for (organization, view, hour, namespace_id, key_id, *names, step), counts in _side_by_side(
            rolled.latencies
        ).items()
    ]
    return [
        Merge("usage_rollups", _ROLLUP_KEY, COUNTED, sorted(sums)),
        Merge("usage_latencies", _LATENCY_KEY, _COUNTS, sorted(latencies)),
    ]


def _side_by_side(latencies: dict[LatencyKey, int]) -> dict[LatencyKey, list[int]]:
    """Counts with those of the same step beside each other."""
    found: dict[LatencyKey, list[int]] = {}
    for (*place, bucket), count in latencies.items():
        step, number = divmod(bucket, len(_COUNTS))
        key: Any = (*place, step)
        found.setdefault(key, [0] * len(_COUNTS))[number] += count
    return found


def counts_of(rows: Sequence[Row], dimensions: int) -> Iterator[tuple[tuple[Any, ...], int, int]]:
    """Group, bucket and count of what `select_latencies` found."""
    for row in rows:
        values = tuple(row)
        group, first = values[:dimensions], values[dimensions] * len(_COUNTS)
        for bucket, count in enumerate(values[dimensions + 1 :], first):
            if count:
                yield group, bucket, count


def select_sums(query: UsageQuery, span: Span, by: tuple[Dimension, ...]) -> Ask:
    """One row for each group: the dimensions, then what is counted of it, in order."""
    return _added_up("usage_rollups", COUNTED, _dimensions(span, by), _within(query, span))


def select_latencies(query: UsageQuery, span: Span, by: tuple[Dimension, ...]) -> Ask:
    """One row for each group and step of the histogram: the dimensions, the step, the calls in each of its buckets."""
    part = _within(query, span, but="status")
    return _added_up("usage_latencies", _COUNTS, [*_dimensions(span, by), "step"], part)


def _dimensions(span: Span, by: tuple[Dimension, ...]) -> list[str]:
    # The hour of a day's row is the day's own first: what is in the order of the table takes no sorting.
    day = _DAY if span.view in HOURLY else "hour"
    return [day if name == "day" else name for name in by]


def _added_up(table: str, counts: Sequence[str], dimensions: Sequence[str], part: _Part) -> Ask:
    where, values = part
    told = [*dimensions, *(f"CAST(SUM({name}) AS BIGINT)" for name in counts)]
    group = f" GROUP BY {', '.join(dimensions)}" if dimensions else " HAVING COUNT(*) > 0"
    return _numbered(f"SELECT {', '.join(told)} FROM {table} WHERE {where}{group}", values)  # noqa: S608 - names of ours


def _within(query: UsageQuery, span: Span, but: str = "") -> _Part:
    where, values = f"organization_id = ? AND view = {int(span.view)}", [query.organization_id]
    picks, picked = _picks(query, but)
    step = WEEK_HOURS if span.view in WEEKLY else 1 if span.view in HOURLY else DAY_HOURS
    hours = range(span.first, span.end, step)
    by_namespace = query.namespaces is not None and span.view in BY_NAMESPACE
    if (query.key_id is None and not by_namespace) or len(hours) > _SOUGHT_MAX:
        return f"{where} AND hour >= ? AND hour < ?{picks}", [*values, span.first, span.end, *picked]
    # Each hour is gone to, and in it the key or, where no row has one, the namespaces.
    seek = " AND key_id = ''" if by_namespace else ""
    return f"{where} AND hour IN ({', '.join('?' * len(hours))}){seek}{picks}", [*values, *hours, *picked]


def _picks(query: UsageQuery, but: str = "") -> _Part:
    """What else must hold, each with ` AND ` in front."""
    wanted = {name: getattr(query, name) for name in FILTERS if name != but}
    given = {name: value for name, value in wanted.items() if value is not None}
    text, values = "".join(f" AND {name} = ?" for name in given), list(given.values())
    if query.namespaces is not None:
        text += f" AND namespace_id IN ({', '.join('?' * len(query.namespaces)) or 'NULL'})"
        values += query.namespaces
    return text, values


def _numbered(text: str, values: Sequence[Any]) -> Ask:
    """The statement with its places numbered, which stand as `?` until here."""
    first, *rest = text.split("?")
    return Ask(first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1)), tuple(values))


def select_calls(columns: str, query: UsageQuery, after: Place | None, limit: int) -> Ask:
    """Calls in the order they began."""
    first = to_microseconds(query.start if after is None else after.started_at)
    picks, values = _picks(query)
    where = f"organization_id = ? AND started_at >= ? AND started_at < ?{picks}"
    given = [query.organization_id, first, to_microseconds(query.end), *values]
    if after is not None:
        where += " AND (started_at, record_id) > (?, ?)"
        given += [first, after.record_id]
    text = f"SELECT {columns} FROM usage WHERE {where} ORDER BY started_at, record_id LIMIT ?"  # noqa: S608 - as above
    return _numbered(text, [*given, limit])


def find_known(record_ids: Sequence[str]) -> Ask:
    """Which of these records are there."""
    marks = ", ".join("?" * len(record_ids))
    return _numbered(f"SELECT record_id FROM usage WHERE record_id IN ({marks})", record_ids)  # noqa: S608 - marks


REPRICE = (
    "UPDATE usage SET cost_microusd = $1, price_version = $2, attempts = $3 "
    "WHERE record_id = $4 AND COALESCE(cost_microusd, -1) = $5 RETURNING record_id"
)
"""Only while the cost is still the one that was found; -1 stands for an unknown one."""

DELETE_CALLS = (
    "DELETE FROM usage WHERE record_id IN (SELECT record_id FROM usage "
    "WHERE organization_id = $1 AND started_at < $2 ORDER BY started_at LIMIT $3) RETURNING 1"
)
ROLLUP_TABLES = ("usage_rollups", "usage_latencies")


def next_organization(table: str) -> str:
    """Asks for the first organization behind one that has rows."""
    return f"SELECT MIN(organization_id) FROM {table} WHERE organization_id > $1"  # noqa: S608 - names of ours


def first_hour(table: str) -> str:
    """Asks for the oldest hour of an organization in a view."""
    return f"SELECT MIN(hour) FROM {table} WHERE organization_id = $1 AND view = $2"  # noqa: S608 - names of ours


def delete_hours(table: str) -> str:
    """Deletes an organization's hours in a view, before one."""
    return f"DELETE FROM {table} WHERE organization_id = $1 AND view = $2 AND hour < $3 RETURNING 1"  # noqa: S608 - names of ours
