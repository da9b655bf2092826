"""Indexes for listing the runs of one tenant."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make them."""
    op.create_index("ix_runs_tenant_run_id", "runs", ["tenant", "run_id"])
    op.create_index("ix_runs_tenant_status_run_id", "runs", ["tenant", "status", "run_id"])
    op.create_index("ix_runs_tenant_roadmap_id_run_id", "runs", ["tenant", "roadmap_id", "run_id"])
