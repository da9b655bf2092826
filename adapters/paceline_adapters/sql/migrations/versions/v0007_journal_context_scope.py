"""The journal of steps, the context and scope of runs, and the mark of a fallback model."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

_words = sa.String()
_time = sa.String(24).with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Add the table and the columns. Existing runs have no context and cover their roadmap."""
    op.create_table(
        "journal",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("concept_id", _words, nullable=False),
        sa.Column("step", _words, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", _words, nullable=False),
        sa.Column("value", _words, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.PrimaryKeyConstraint(
            "run_id", "concept_id", "step", "version", "name", name="pk_journal"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_journal_run_id", ondelete="CASCADE"
        ),
    )
    op.add_column("artifacts", sa.Column("fallback", _words))
    op.add_column("runs", sa.Column("context", _words))
    op.add_column("runs", sa.Column("scope", _words))
    op.add_column(
        "runs", sa.Column("extended", sa.Boolean, nullable=False, server_default=sa.false())
    )
