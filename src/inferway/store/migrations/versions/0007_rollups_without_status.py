"""Sums that count how calls ended in columns, apart from those of the calls that did not end well, in an order that leads to a key."""

from alembic import op

from inferway.store.migrations.words import words

revision = "0007"
down_revision: str | None = "0006"

_PLACE = ("organization_id", "view", "hour", "key_id", "namespace_id")
_NAMES = ("provider", "model", "operation")
_SUMS = (
    *("calls", "attempts", "retries", "streamed", "cached", "input", "cached_read", "cache_write", "output"),
    *("reasoning", "audio_input", "audio_ms", "images", "vectors", "characters"),
    *("cost_microusd", "unpriced", "latency_us", "upstream_us"),
)
_STATUSES = ("ok", "partial", "error", "client_disconnected", "unknown")
_ENDED = tuple(f"ended_{name}" for name in _STATUSES)
_COUNTS = tuple(f"calls_{number}" for number in range(16))


_FINE = ", ".join((*_PLACE, *_NAMES))
_ALL = f"{', '.join(_PLACE)}, '', '', ''"
_NOT_OF_ALL = "view NOT IN (0, 1, 6)"
"""The views of the organization have none beside them that lack provider, model and operation."""


def upgrade() -> None:
    """See the module."""
    for table in ("usage_rollups", "usage_latencies"):
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    _make("usage_rollups", (*_PLACE, *_NAMES, "status"), (*_SUMS, *_ENDED))
    _make("usage_latencies", (*_PLACE, "step", *_NAMES), _COUNTS)
    # Views 0 to 8 are of all calls, 9 more are of those that did not end well; 18 more lack provider, model and operation.
    op.execute(_sums(_FINE, "''", "1 = 1"))
    op.execute(_sums(_shifted(_FINE, 9), "status", "status <> 'ok'"))
    op.execute(_sums(_shifted(_ALL, 18), "''", _NOT_OF_ALL))
    op.execute(_sums(_shifted(_ALL, 27), "status", f"status <> 'ok' AND {_NOT_OF_ALL}"))
    week = _FINE.replace("hour", "hour / 168 * 168").replace("view", "8")
    all_week = _ALL.replace("hour", "hour / 168 * 168").replace("view", "26")
    op.execute(_histograms(_FINE, "1 = 1"))
    op.execute(_histograms(_shifted(_ALL, 18), _NOT_OF_ALL))
    # By key there were none by week.
    op.execute(_histograms(week, "view = 4"))
    op.execute(_histograms(all_week, "view = 4"))
    op.execute("DROP TABLE usage_rollups_before")
    op.execute("DROP TABLE usage_latencies_before")


def _make(table: str, key: tuple[str, ...], counts: tuple[str, ...]) -> None:
    w = words()
    numbers = ("view", "hour", "step", *counts)
    columns = ", ".join(
        f"{name} {w.integer if name in numbers else 'TEXT'} NOT NULL" for name in (*key, *counts)
    )
    # Rows are added to again and again: with room beside them no index has to be changed.
    ending = w.keyed_table or " WITH (fillfactor = 70)"
    op.execute(f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({', '.join(key)})){ending}")


def _shifted(names: str, by: int) -> str:
    return names.replace("view", f"view + {by}")


def _sums(names: str, status: str, where: str) -> str:
    sums = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in _SUMS)
    ended = ", ".join(
        f"CAST(SUM(CASE WHEN status = '{name}' THEN calls ELSE 0 END) AS BIGINT)" for name in _STATUSES
    )
    places = ", ".join(str(number) for number in range(1, 10))
    return (
        f"INSERT INTO usage_rollups ({_FINE}, status, {', '.join((*_SUMS, *_ENDED))}) "  # noqa: S608 - names of this file
        f"SELECT {names}, {status}, {sums}, {ended} FROM usage_rollups_before WHERE {where} GROUP BY {places}"
    )


def _histograms(names: str, where: str) -> str:
    counts = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in _COUNTS)
    places = ", ".join(str(number) for number in range(1, 10))
    return (
        f"INSERT INTO usage_latencies ({_FINE}, step, {', '.join(_COUNTS)}) "  # noqa: S608 - names of this file
        f"SELECT {names}, step, {counts} FROM usage_latencies_before WHERE {where} GROUP BY {places}"
    )
