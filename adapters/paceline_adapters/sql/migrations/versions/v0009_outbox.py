"""The outbox: what is still to be delivered to each sink."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"

_words = sa.String()
_time = sa.String(24).with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Add the tables. What was saved before is not delivered."""
    op.add_column("runs", sa.Column("ends", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "outbox",
        sa.Column("sink", _words, nullable=False),
        sa.Column("delivery_id", _words, nullable=False),
        sa.Column("run_id", _words, nullable=False),
        sa.Column("concept_id", _words, nullable=False),
        sa.Column("step", _words, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", _words),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("due_at", _time, nullable=False),
        sa.Column("lease", _words),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reason", _words),
        sa.Column("dead", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("sink", "delivery_id", name="pk_outbox"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_outbox_run_id", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_outbox_of_artifact", "outbox", ["run_id", "concept_id", "step", "sink", "number"]
    )
    for name, columns, where in (
        ("ix_outbox_due", ["sink", "due_at"], "NOT dead"),
        ("ix_outbox_dead", ["sink"], "dead"),
    ):
        op.create_index(
            name, "outbox", columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where)
        )
    op.create_table(
        "sink_states",
        sa.Column("sink", _words, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("down_since", _time),
        sa.Column("retry_at", _time),
        sa.Column("reason", _words),
        sa.Column("delivered", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("sink", name="pk_sink_states"),
        postgresql_with={"fillfactor": 50},
    )
