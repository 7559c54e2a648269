"""The statements of the ledger: one text for every database."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from inferway.store.moments import to_microseconds
from inferway.store.work import Ask, Row
from inferway.usage.queries import FILTERS, STATUSES, Dimension, Place, Span, UsageQuery
from inferway.usage.rollups import SUMS, LatencyKey, Rolled

_Part = tuple[str, list[Any]]

ROLLUP_KEY = (
    *(
        "organization_id",
        "view",
        "hour",
        "namespace_id",
        "key_id",
        "provider",
        "model",
        "operation",
        "status",
    ),
)
LATENCY_KEY = (*ROLLUP_KEY[:-1], "step")
_COUNTS = tuple(f"calls_{number}" for number in range(16))
"""A row has sixteen buckets of a histogram side by side (a step of four doublings): most groups need one or two rows for all of theirs."""
_ENDS = tuple(f"CASE WHEN status = '{name}' THEN calls ELSE 0 END" for name in STATUSES)
_AT_ONCE = 64
_DAY = "hour / 24 * 24"


def roll_statements(rolled: Rolled) -> list[Ask]:
    """Adds to the rollups, many rows to a statement. Rows come in the order of their keys, so that two writers never wait crosswise."""
    sums = [(*key, *values) for key, values in sorted(rolled.sums.items()) if any(values)]
    latencies = [(*key, *counts) for key, counts in sorted(_side_by_side(rolled.latencies).items())]
    return [
        *_upserts("usage_rollups", ROLLUP_KEY, SUMS, sums),
        *_upserts("usage_latencies", LATENCY_KEY, _COUNTS, latencies),
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


def _upserts(
    table: str, key: tuple[str, ...], added: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> list[Ask]:
    parts = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    return [Ask(_upsert(table, key, added, len(part)), tuple(chain.from_iterable(part))) for part in parts]


@lru_cache(maxsize=2 * _AT_ONCE)
def _upsert(table: str, key: tuple[str, ...], added: tuple[str, ...], count: int) -> str:
    """The statement for some rows. To write it takes longer than to run it."""
    width = len(key) + len(added)
    places = ", ".join(
        f"({', '.join(f'${number}' for number in range(start + 1, start + width + 1))})"
        for start in range(0, count * width, width)
    )
    adding = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in added)
    return (
        f"INSERT INTO {table} ({', '.join((*key, *added))}) VALUES {places} "  # noqa: S608 - names of ours
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {adding}"
    )


def select_sums(query: UsageQuery, span: Span, by: tuple[Dimension, ...]) -> Ask:
    """One row for each group: the dimensions, then the sums in order and how many calls ended in each way."""
    dimensions = [_DAY if name == "day" else name for name in by]
    columns = [*dimensions, *(f"CAST(SUM({name}) AS BIGINT)" for name in (*SUMS, *_ENDS))]
    where, values = _within(query, span)
    group = f" GROUP BY {', '.join(dimensions)}" if dimensions else " HAVING COUNT(*) > 0"
    return _numbered(f"SELECT {', '.join(columns)} FROM usage_rollups WHERE {where}{group}", values)  # noqa: S608 - names of ours


def select_latencies(query: UsageQuery, span: Span, by: tuple[Dimension, ...]) -> Ask:
    """One row for each group and step of the histogram: the dimensions, the step, the calls in each of its buckets."""
    dimensions = [*(_DAY if name == "day" else name for name in by), "step"]
    counts = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in _COUNTS)
    where, values = _within(query, span, but="status")
    names = ", ".join(dimensions)
    return _numbered(
        f"SELECT {names}, {counts} FROM usage_latencies WHERE {where} GROUP BY {names}",  # noqa: S608 - as above
        values,
    )


def _within(query: UsageQuery, span: Span, but: str = "") -> _Part:
    # The view stands in the text, because the index of the keys' days is one of that view alone.
    where = f"organization_id = ? AND view = {int(span.view)} AND hour >= ? AND hour < ?"
    picks, values = _picks(query, but)
    return where + picks, [query.organization_id, span.first, span.end, *values]


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
