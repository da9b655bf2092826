"""Pauses, changed limits and the audit log; priorities of runs; drained workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"

_words = sa.String()
_time = sa.String(24).with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Add columns and tables. Runs that are queued already come first, in their order."""
    op.add_column("runs", sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("priority", _words, nullable=False, server_default="normal"))
    op.add_column(
        "runs", sa.Column("claim_order", sa.BigInteger, nullable=False, server_default="0")
    )
    op.add_column(
        "workers", sa.Column("drain", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.drop_index("ix_runs_queued", "runs")
    for name, columns, postgres, sqlite in (
        (
            "ix_runs_queued",
            ["executor", "claim_order", "run_id"],
            "status = 'queued'",
            "status = 'queued'",
        ),
        ("ix_runs_held", ["executor", "run_id"], "held", "held = 1"),
    ):
        op.create_index(
            name,
            "runs",
            columns,
            postgresql_where=sa.text(postgres),
            sqlite_where=sa.text(sqlite),  # as queries compare it
        )
    op.create_table(
        "controls",
        sa.Column("name", _words, nullable=False),
        sa.Column("body", _words, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed_by", _words, nullable=False),
        sa.Column("changed_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_controls"),
    )
    op.create_table(
        "control_log",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("at", _time, nullable=False),
        *(
            sa.Column(name, _words, nullable=False)
            for name in ("changed_by", "action", "subject", "detail", "tenant")
        ),
        sa.PrimaryKeyConstraint("number", name="pk_control_log"),
    )
    op.create_index("ix_control_log_tenant_number", "control_log", ["tenant", "number"])
