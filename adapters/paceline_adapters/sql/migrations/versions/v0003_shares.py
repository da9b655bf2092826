"""Tenant and weight of a run."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns. Existing runs get no tenant and the default weight."""
    tenant = sa.Column("tenant", sa.String(), nullable=False, server_default="")
    weight = sa.Column("weight", sa.Float, nullable=False, server_default="1")
    op.add_column("runs", tenant)
    op.add_column("runs", weight)
