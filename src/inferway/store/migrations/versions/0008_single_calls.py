"""Calls are found by their request id, and tell which fields were adapted."""

from alembic import op

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    """See the module."""
    op.execute("ALTER TABLE usage ADD COLUMN adaptations TEXT")
    op.execute("CREATE INDEX usage_request ON usage (organization_id, request_id)")
