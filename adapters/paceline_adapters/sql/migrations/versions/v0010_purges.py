"""Runs that are being deleted, and the indexes that find what to delete."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add a column and indexes."""
    op.add_column(
        "runs", sa.Column("purging", sa.Boolean, nullable=False, server_default=sa.false())
    )
    for name, table, columns, where in (
        ("ix_runs_ended", "runs", ["finished_at", "run_id"], "finished_at IS NOT NULL"),
        (
            "ix_runs_tenant_ended",
            "runs",
            ["tenant", "finished_at", "run_id"],
            "finished_at IS NOT NULL",
        ),
        (
            "ix_artifacts_adopted_from",
            "artifacts",
            ["adopted_from"],
            "adopted_from IS NOT NULL",
        ),
        (
            "ix_past_versions_adopted_from",
            "past_versions",
            ["adopted_from"],
            "adopted_from IS NOT NULL",
        ),
    ):
        op.create_index(
            name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where)
        )
    op.create_index(
        "ix_runs_purging",
        "runs",
        ["run_id"],
        postgresql_where=sa.text("purging"),
        sqlite_where=sa.text("purging = 1"),  # as queries compare it
    )
    op.create_index("ix_submissions_run_id", "submissions", ["run_id"])
