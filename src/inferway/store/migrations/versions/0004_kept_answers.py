"""The answers of calls that brought an Idempotency-Key, sealed, and how many and how large they are in each namespace."""

from alembic import op

from inferway.store.migrations.words import words

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """See the module."""
    w = words()
    op.execute(f"""CREATE TABLE kept_answers (
            place {w.blob} PRIMARY KEY,
            namespace_id TEXT NOT NULL,
            digest {w.blob} NOT NULL,
            owner TEXT NOT NULL,
            expires_us {w.integer} NOT NULL,
            kek_id TEXT,
            wrapped_key {w.blob},
            ciphertext {w.blob}
        ){w.table}""")
    op.execute("CREATE INDEX kept_answers_expires ON kept_answers (expires_us, namespace_id)")
    op.execute(f"""CREATE TABLE kept_totals (
            namespace_id TEXT PRIMARY KEY,
            answers {w.integer} NOT NULL,
            bytes {w.integer} NOT NULL
        ){w.table}""")
