"""When the steps of artifacts and failures waited, called and were saved."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"

_words = sa.String()
_time = sa.String(24).with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Add columns. Of earlier artifacts, only the seconds and the commit are known."""
    for table, seconds in (
        ("artifacts", "saving"),
        ("past_versions", "saving"),
        ("charges", "seconds"),
    ):
        op.add_column(table, sa.Column(seconds, sa.Float, nullable=False, server_default="0"))
        op.add_column(table, sa.Column("phases", _words))
    op.add_column("charges", sa.Column("charged_at", _time))
    op.add_column("workers", sa.Column("open_steps", _words))
