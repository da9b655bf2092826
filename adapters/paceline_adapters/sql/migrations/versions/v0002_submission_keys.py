"""Keys of submissions, so that a submission that is sent twice creates one run."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_words = sa.String()


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "submissions",
        sa.Column("submission_key", _words, nullable=False),
        sa.Column("run_id", _words, nullable=False),
        sa.PrimaryKeyConstraint("submission_key", name="pk_submissions"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_submissions_run_id", ondelete="CASCADE"
        ),
    )
