"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_words = sa.String()
_time = sa.String(24).with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "runs",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("roadmap_id", _words, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("status", _words, nullable=False),
        sa.Column("title", _words, nullable=False),
        sa.Column("content_hash", _words, nullable=False),
        sa.Column("executor", _words, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("reason", _words),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("owner", _words),
        sa.Column("lease_until", _time),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("takeovers", sa.Integer, nullable=False),
        sa.Column("artifacts_at_claim", sa.Integer, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("started_at", _time),
        sa.Column("finished_at", _time),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.UniqueConstraint("roadmap_id", "generation", name="uq_runs_roadmap_id_generation"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_runs_status_run_id", "runs", ["status", "run_id"])
    op.create_index("ix_runs_roadmap_id_run_id", "runs", ["roadmap_id", "run_id"])
    op.create_index(
        "ix_runs_queued",
        "runs",
        ["executor", "run_id"],
        postgresql_where=sa.text("status = 'queued'"),
        sqlite_where=sa.text("status = 'queued'"),
    )
    op.create_table(
        "roadmaps",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("content", _words, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_roadmaps"),
        _of_run("roadmaps"),
    )
    op.create_table(
        "concepts",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("concept_id", _words, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("status", _words, nullable=False),
        sa.Column("reason", _words),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_answer", _words),
        sa.Column("updated_at", _time),
        sa.PrimaryKeyConstraint("run_id", "concept_id", name="pk_concepts"),
        _of_run("concepts"),
    )
    op.create_index("ix_concepts_run_id_status", "concepts", ["run_id", "status"])
    op.create_table(
        "artifacts",
        sa.Column("run_id", _words, nullable=False),
        sa.Column("roadmap_id", _words, nullable=False),
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
        sa.PrimaryKeyConstraint("run_id", "concept_id", "step", name="pk_artifacts"),
        _of_run("artifacts"),
    )
    op.create_index("ix_artifacts_roadmap_id", "artifacts", ["roadmap_id"])
    op.create_table(
        "workers",
        sa.Column("worker_id", _words, nullable=False),
        sa.Column("host", _words, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process_started", sa.Float, nullable=False),
        sa.Column("executor", _words, nullable=False),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("pool_max", sa.Integer, nullable=False),
        sa.Column("shared_limits", sa.Boolean, nullable=False),
        sa.Column("started_at", _time, nullable=False),
        sa.Column("beat_at", _time, nullable=False),
        sa.Column("figures", _words, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="pk_workers"),
        postgresql_with={"fillfactor": 50},
    )


def _of_run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["run_id"], ["runs.run_id"], name=f"fk_{table}_run_id", ondelete="CASCADE"
    )
