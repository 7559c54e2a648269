"""The tables, as numbered steps; a step that was released is never changed."""

from typing import Final

APPLICATION_ID: Final = 0x49465731
"""Marks a file as ours ("IFW1")."""

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE organizations (
            organization_id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            created_at INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE namespaces (
            namespace_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL REFERENCES organizations,
            name TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            UNIQUE (organization_id, name)
        ) STRICT""",
        """CREATE TABLE users (
            user_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL REFERENCES organizations,
            email TEXT NOT NULL COLLATE NOCASE,
            created_at INTEGER NOT NULL,
            UNIQUE (organization_id, email)
        ) STRICT""",
        """CREATE TABLE api_keys (
            key_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL REFERENCES organizations,
            user_id TEXT NOT NULL REFERENCES users,
            name TEXT NOT NULL,
            digest BLOB NOT NULL UNIQUE,
            prefix TEXT NOT NULL,
            permission TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            revoked_at INTEGER
        ) STRICT""",
        "CREATE UNIQUE INDEX api_keys_live_name ON api_keys (user_id, name) WHERE revoked_at IS NULL",
        "CREATE INDEX api_keys_organization ON api_keys (organization_id)",
        "CREATE TABLE access_state (generation INTEGER NOT NULL) STRICT",
        "INSERT INTO access_state (generation) VALUES (0)",
        """CREATE TABLE usage (
            record_id TEXT PRIMARY KEY,
            request_id TEXT NOT NULL,
            organization_id TEXT NOT NULL,
            namespace_id TEXT NOT NULL,
            key_id TEXT NOT NULL,
            operation TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            status TEXT NOT NULL,
            started_at INTEGER NOT NULL,
            latency_ms REAL NOT NULL,
            upstream_ms REAL NOT NULL,
            input INTEGER NOT NULL,
            cached_read INTEGER NOT NULL,
            cache_write INTEGER NOT NULL,
            output INTEGER NOT NULL,
            reasoning INTEGER NOT NULL,
            audio_input INTEGER NOT NULL,
            audio_ms INTEGER NOT NULL,
            images INTEGER NOT NULL,
            vectors INTEGER NOT NULL,
            characters INTEGER NOT NULL,
            usage_source TEXT NOT NULL,
            usage_raw BLOB,
            error_type TEXT,
            error_code TEXT,
            attempts TEXT NOT NULL,
            cost_microusd INTEGER,
            price_version TEXT,
            streamed INTEGER NOT NULL,
            cached INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX usage_started ON usage (organization_id, started_at)",
    ),
)
