"""Remove a column of workers that was never true."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Drop the column."""
    op.drop_column("workers", "shared_limits")
