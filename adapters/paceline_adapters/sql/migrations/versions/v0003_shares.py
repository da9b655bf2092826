"""Whose a run is, and its weight among the others."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; runs of before are nobody's, with the usual weight."""
    tenant = sa.Column("tenant", sa.String(), nullable=False, server_default="")
    weight = sa.Column("weight", sa.Float, nullable=False, server_default="1")
    op.add_column("runs", tenant)
    op.add_column("runs", weight)
