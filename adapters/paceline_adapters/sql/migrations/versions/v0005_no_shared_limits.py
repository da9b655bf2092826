"""Remove a column of workers that was never true."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Drop the column. SQLite before 3.35 cannot, so its table is copied."""
    with op.batch_alter_table("workers") as workers:
        workers.drop_column("shared_limits")
