"""Who is signed in to the dashboard, and the passwords of users who have one."""

from alembic import op

from inferway.store.migrations.words import words

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    """See the module."""
    w = words()
    op.execute("ALTER TABLE users ADD COLUMN password_hash TEXT")
    op.execute(f"""CREATE TABLE sessions (
            digest {w.blob} PRIMARY KEY,
            kind TEXT NOT NULL,
            organization_id TEXT NOT NULL,
            key_id TEXT NOT NULL,
            created_at {w.integer} NOT NULL,
            expires_at {w.integer} NOT NULL
        ){w.table}""")
    op.execute("CREATE INDEX sessions_key ON sessions (key_id)")
    op.execute("CREATE INDEX sessions_expires ON sessions (expires_at)")
