"""Calls that failed are found by the code of their error."""

from alembic import op

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """See the module."""
    op.execute(
        "CREATE INDEX usage_error ON usage (organization_id, error_code, started_at, record_id) WHERE error_code IS NOT NULL"
    )
