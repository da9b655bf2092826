"""Record what was spent without an artifact, pause requests, and the time that runs took."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

_words = sa.String()
_time = sa.String(24).with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Add the table and the columns. Ended runs took the time between start and end."""
    op.create_table(
        "charges",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("concept_id", _words, nullable=False),
        sa.Column("step", _words, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("cost", sa.Float),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "concept_id", "step", "fence", name="pk_charges"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_charges_run_id", ondelete="CASCADE"
        ),
    )
    op.add_column(
        "artifacts",
        sa.Column("estimated", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.add_column("runs", sa.Column("pause_requested", _words))
    op.add_column("runs", sa.Column("claimed_at", _time))
    op.add_column("runs", sa.Column("seconds", sa.Float, nullable=False, server_default="0"))
    took = {
        "postgresql": "CAST(extract(epoch FROM finished_at - started_at) AS double precision)",
        "sqlite": "(julianday(finished_at) - julianday(started_at)) * 86400.0",
    }[op.get_bind().dialect.name]
    op.execute(
        f"UPDATE runs SET seconds = {took} "  # noqa: S608
        "WHERE started_at IS NOT NULL AND finished_at IS NOT NULL"
    )
