"""Versions of artifacts, and requests to make them again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"

_words = sa.String()
_time = sa.String(24).with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def _of_run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["run_id"], ["runs.run_id"], name=f"fk_{table}_run_id", ondelete="CASCADE"
    )


def _new_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("prompt_hash", _words),
        sa.Column("input_hash", _words),
        sa.Column("instruction", _words),
        sa.Column("tenant", _words),
        sa.Column("requested_by", _words),
        sa.Column("adopted_from", _words),
        sa.Column("fence", sa.Integer),
    ]


def upgrade() -> None:
    """Add the tables and columns. Existing artifacts become version 1, with unknown inputs."""
    for column in _new_columns():
        op.add_column("artifacts", column)
    op.add_column("artifacts", sa.Column("changes", sa.Integer, nullable=False, server_default="1"))
    op.add_column(
        "artifacts", sa.Column("stale", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_index("ix_artifacts_input_hash", "artifacts", ["input_hash"])
    op.create_table(
        "past_versions",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("concept_id", _words, nullable=False),
        sa.Column("step", _words, nullable=False),
        sa.Column("content", _words, nullable=False),
        sa.Column("model", _words, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("cost", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("fallback", _words),
        *_new_columns(),
        sa.PrimaryKeyConstraint("run_id", "concept_id", "step", "version", name="pk_past_versions"),
        _of_run("past_versions"),
    )
    op.create_table(
        "revisions",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("concept_id", _words, nullable=False),
        sa.Column("step", _words, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("instruction", _words),
        sa.Column("tenant", _words, nullable=False, server_default=""),
        sa.Column("requested_by", _words),
        sa.Column("requested_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "concept_id", "step", name="pk_revisions"),
        _of_run("revisions"),
    )
