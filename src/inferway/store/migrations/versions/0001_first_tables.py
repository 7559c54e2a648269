"""The first tables: who may call, and what was used."""

from alembic import op

from inferway.store.migrations.words import words

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """See the module."""
    w = words()
    op.execute(f"""CREATE TABLE organizations (
            organization_id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            created_at {w.integer} NOT NULL
        ){w.table}""")
    op.execute(f"""CREATE TABLE namespaces (
            namespace_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL REFERENCES organizations,
            name TEXT NOT NULL,
            created_at {w.integer} NOT NULL,
            UNIQUE (organization_id, name)
        ){w.table}""")
    op.execute(f"""CREATE TABLE users (
            user_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL REFERENCES organizations,
            email {w.folded} NOT NULL,
            created_at {w.integer} NOT NULL,
            UNIQUE (organization_id, email)
        ){w.table}""")
    if op.get_context().dialect.name == "postgresql":
        op.execute("CREATE UNIQUE INDEX users_folded_email ON users (organization_id, lower(email))")
    op.execute(f"""CREATE TABLE api_keys (
            key_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL REFERENCES organizations,
            user_id TEXT NOT NULL REFERENCES users,
            name TEXT NOT NULL,
            digest {w.blob} NOT NULL UNIQUE,
            prefix TEXT NOT NULL,
            permission TEXT NOT NULL,
            created_at {w.integer} NOT NULL,
            expires_at {w.integer},
            revoked_at {w.integer}
        ){w.table}""")
    op.execute("CREATE UNIQUE INDEX api_keys_live_name ON api_keys (user_id, name) WHERE revoked_at IS NULL")
    op.execute("CREATE INDEX api_keys_organization ON api_keys (organization_id)")
    op.execute(f"CREATE TABLE access_state (generation {w.integer} NOT NULL){w.table}")
    op.execute("INSERT INTO access_state (generation) VALUES (0)")
    op.execute(f"""CREATE TABLE usage (
            record_id TEXT PRIMARY KEY,
            request_id TEXT NOT NULL,
            organization_id TEXT NOT NULL,
            namespace_id TEXT NOT NULL,
            key_id TEXT NOT NULL,
            operation TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            status TEXT NOT NULL,
            started_at {w.integer} NOT NULL,
            latency_ms {w.real} NOT NULL,
            upstream_ms {w.real} NOT NULL,
            input {w.integer} NOT NULL,
            cached_read {w.integer} NOT NULL,
            cache_write {w.integer} NOT NULL,
            output {w.integer} NOT NULL,
            reasoning {w.integer} NOT NULL,
            audio_input {w.integer} NOT NULL,
            audio_ms {w.integer} NOT NULL,
            images {w.integer} NOT NULL,
            vectors {w.integer} NOT NULL,
            characters {w.integer} NOT NULL,
            usage_source TEXT NOT NULL,
            usage_raw {w.blob},
            error_type TEXT,
            error_code TEXT,
            attempts TEXT NOT NULL,
            cost_microusd {w.integer},
            price_version TEXT,
            streamed {w.integer} NOT NULL,
            cached {w.integer} NOT NULL
        ){w.keyed_table}""")
    op.execute("CREATE INDEX usage_started ON usage (organization_id, started_at)")
