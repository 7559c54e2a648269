"""What calls come to by hour and by day, and more of what is known of each call."""

from alembic import op

from inferway.store.migrations.words import words

revision = "0003"
down_revision: str | None = "0002"

_METERS = (
    "input, cached_read, cache_write, output, reasoning, audio_input, audio_ms, images, vectors, characters"
)
_HOUR = "started_at / 3600000000"
_DAY = f"{_HOUR} / 24 * 24"
_WEEK = f"{_HOUR} / 168 * 168"
_VIEWS = (
    (0, _DAY, "''", "''"),
    (1, _HOUR, "''", "''"),
    (2, _DAY, "namespace_id", "''"),
    (3, _HOUR, "namespace_id", "''"),
    (4, _DAY, "namespace_id", "key_id"),
    (5, _HOUR, "namespace_id", "key_id"),
    (6, _WEEK, "''", "''"),
    (7, _WEEK, "namespace_id", "''"),
    (8, _WEEK, "namespace_id", "key_id"),
)
"""The views in the order of their numbers: the bucket that a call falls into, and the namespace and key that it is counted under."""


def upgrade() -> None:
    """See the module."""
    w = words()
    op.execute(f"ALTER TABLE usage ADD COLUMN first_event_ms {w.real}")
    op.execute(f"ALTER TABLE usage ADD COLUMN retries {w.integer} NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE usage ADD COLUMN cache_kind TEXT")
    op.execute("ALTER TABLE usage ADD COLUMN model_version TEXT")
    key = ("organization_id", "view", "hour", "namespace_id", "key_id", "provider", "model", "operation")
    columns = ",\n".join(
        f"{name} {w.integer if name in ('view', 'hour') else 'TEXT'} NOT NULL" for name in key
    )
    sums = ("calls", "attempts", "retries", "streamed", "cached", *_METERS.split(", "))
    sums += ("cost_microusd", "unpriced", "latency_us", "upstream_us")
    op.execute(f"""CREATE TABLE usage_rollups (
            {columns},
            status TEXT NOT NULL,
            {", ".join(f"{name} {w.integer} NOT NULL" for name in sums)},
            PRIMARY KEY ({", ".join(key)}, status)
        ){w.keyed_table}""")
    op.execute(f"""CREATE TABLE usage_latencies (
            {columns},
            step {w.integer} NOT NULL,
            {", ".join(f"calls_{number} {w.integer} NOT NULL" for number in range(16))},
            PRIMARY KEY (organization_id, view, key_id, hour, namespace_id, provider, model, operation, step)
        ){w.keyed_table}""")
    # One key's days are asked for again and again, by its caps too; those of all keys lie together by day.
    op.execute(
        "CREATE INDEX usage_rollups_key ON usage_rollups (organization_id, key_id, view, hour) WHERE view = 4"
    )
    for view in _VIEWS:
        op.execute(_sums_of_what_is_there(*view))


def _sums_of_what_is_there(view: int, hour: str, namespace_id: str, key_id: str) -> str:
    """Adds up the calls that were recorded before; how long each attempt and answer took was not, beyond the whole."""
    meters = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in _METERS.split(", "))
    return f"""INSERT INTO usage_rollups
            SELECT organization_id, {view}, {hour}, {namespace_id}, {key_id}, provider, model, operation, status,
                COUNT(*), COUNT(*), 0, SUM(streamed), SUM(cached), {meters},
                CAST(COALESCE(SUM(cost_microusd), 0) AS BIGINT), SUM(CASE WHEN cost_microusd IS NULL THEN 1 ELSE 0 END),
                CAST(SUM(latency_ms) * 1000 AS BIGINT), CAST(SUM(upstream_ms) * 1000 AS BIGINT)
            FROM usage GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9"""  # noqa: S608 - names and numbers of this file
