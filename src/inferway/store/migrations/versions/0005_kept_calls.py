"""The requests and answers that namespaces keep, sealed, and for how many days each namespace keeps them."""

from alembic import op

from inferway.store.migrations.words import words

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """See the module."""
    w = words()
    op.execute(f"ALTER TABLE namespaces ADD COLUMN keep_days {w.integer}")
    op.execute(f"""CREATE TABLE kept_calls (
            record_id TEXT PRIMARY KEY,
            organization_id TEXT NOT NULL,
            namespace_id TEXT NOT NULL,
            request_id TEXT NOT NULL,
            at_us {w.integer} NOT NULL,
            operation TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            status TEXT NOT NULL,
            kek_id TEXT NOT NULL,
            wrapped_key {w.blob} NOT NULL,
            ciphertext {w.blob} NOT NULL
        ){w.table}""")
    op.execute("CREATE INDEX kept_calls_at ON kept_calls (namespace_id, at_us, record_id)")
    op.execute("CREATE INDEX kept_calls_request ON kept_calls (namespace_id, request_id)")
