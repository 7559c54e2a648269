"""What the administration keeps: settings of organizations, users and keys, secrets and the audit log."""

from alembic import op

from inferway.store.migrations.words import words

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """See the module."""
    w = words()
    op.execute(f"ALTER TABLE organizations ADD COLUMN updated_at {w.integer}")
    op.execute("ALTER TABLE organizations ADD COLUMN logo_url TEXT")
    op.execute("ALTER TABLE organizations ADD COLUMN billing_email TEXT")
    op.execute("ALTER TABLE organizations ADD COLUMN notifications_email TEXT")
    op.execute("ALTER TABLE organizations ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE organizations ADD COLUMN credentials TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE organizations ADD COLUMN spend_budget TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE organizations ADD COLUMN namespace_budget TEXT NOT NULL DEFAULT '{}'")
    op.execute(f"ALTER TABLE namespaces ADD COLUMN updated_at {w.integer}")
    op.execute("ALTER TABLE namespaces ADD COLUMN description TEXT")
    op.execute("ALTER TABLE namespaces ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE namespaces ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE namespaces ADD COLUMN credentials TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE namespaces ADD COLUMN spend_budget TEXT NOT NULL DEFAULT '{}'")
    op.execute(f"ALTER TABLE users ADD COLUMN updated_at {w.integer}")
    op.execute("ALTER TABLE users ADD COLUMN name TEXT")
    op.execute("ALTER TABLE users ADD COLUMN avatar_url TEXT")
    # Whoever is there already was made by the operator.
    op.execute("ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'admin'")
    op.execute("ALTER TABLE users ADD COLUMN standing TEXT NOT NULL DEFAULT 'active'")
    op.execute("ALTER TABLE users ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE api_keys ADD COLUMN revoked_by TEXT")
    op.execute("ALTER TABLE api_keys ADD COLUMN created_by TEXT")
    op.execute(f"ALTER TABLE api_keys ADD COLUMN last_used_at {w.integer}")
    op.execute("ALTER TABLE api_keys ADD COLUMN description TEXT NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE api_keys ADD COLUMN granted TEXT NOT NULL DEFAULT '[]'")
    op.execute("ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]'")
    op.execute("ALTER TABLE api_keys ADD COLUMN allowed_origins TEXT NOT NULL DEFAULT '[]'")
    op.execute("ALTER TABLE api_keys ADD COLUMN models TEXT NOT NULL DEFAULT '[]'")
    op.execute(f"ALTER TABLE api_keys ADD COLUMN per_minute {w.integer}")
    op.execute("ALTER TABLE api_keys ADD COLUMN spend_budget TEXT NOT NULL DEFAULT '{}'")
    op.execute(f"ALTER TABLE api_keys ADD COLUMN previous_digest {w.blob}")
    op.execute(f"ALTER TABLE api_keys ADD COLUMN previous_until {w.integer}")
    op.execute(
        "CREATE UNIQUE INDEX api_keys_previous ON api_keys (previous_digest) WHERE previous_digest IS NOT NULL"
    )
    op.execute(f"""CREATE TABLE secrets (
            secret_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL REFERENCES organizations,
            name TEXT NOT NULL,
            kek_id TEXT NOT NULL,
            wrapped_key {w.blob} NOT NULL,
            ciphertext {w.blob} NOT NULL,
            created_at {w.integer} NOT NULL,
            updated_at {w.integer} NOT NULL,
            UNIQUE (organization_id, name)
        ){w.table}""")
    op.execute(f"""CREATE TABLE audit_events (
            audit_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL,
            at {w.integer} NOT NULL,
            resource_type TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            action TEXT NOT NULL,
            actor_id TEXT NOT NULL,
            actor_email TEXT,
            actor_key_name TEXT,
            ip_address TEXT,
            user_agent TEXT,
            changes TEXT NOT NULL
        ){w.table}""")
    op.execute("CREATE INDEX audit_events_at ON audit_events (organization_id, at)")
