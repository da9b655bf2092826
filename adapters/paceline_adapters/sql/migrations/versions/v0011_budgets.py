"""Budgets of runs, accounts and reservations of money, and what all calls cost."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_words = sa.String()
_NANOS = 1_000_000_000
#: A shard of each table, so that no sum is in the way of another.
_SHARD = {"artifacts": 0, "past_versions": 1, "charges": 2}


def upgrade() -> None:
    """Add columns and tables. Costs begin with what artifacts and charges say."""
    op.add_column("runs", sa.Column("budget", sa.BigInteger))
    op.add_column("runs", sa.Column("short_of", _words))
    where = sa.text("short_of IS NOT NULL")
    op.create_index(
        "ix_runs_short_of",
        "runs",
        ["executor", "run_id"],
        postgresql_where=where,
        sqlite_where=where,
    )
    op.create_table(
        "budget_accounts",
        sa.Column("name", _words, nullable=False),
        sa.Column("run_id", _words),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("warned", sa.BigInteger),
        sa.PrimaryKeyConstraint("name", name="pk_budget_accounts"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_budget_accounts_run_id", ondelete="CASCADE"
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_budget_accounts_run_id", "budget_accounts", ["run_id"])
    op.create_table(
        "budget_reservations",
        sa.Column("id", _words, nullable=False),
        sa.Column("worker_id", _words, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("accounts", _words, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budget_reservations"),
    )
    op.create_index("ix_budget_reservations_worker_id", "budget_reservations", ["worker_id"])
    op.create_table(
        "costs",
        *(sa.Column(name, _words, nullable=False) for name in ("day", "tenant", "model", "step")),
        sa.Column("shard", sa.Integer, nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in (
                *("attempts", "prompt_tokens", "completion_tokens", "cost", "priced", "estimated"),
            )
        ),
        sa.PrimaryKeyConstraint("day", "tenant", "model", "step", "shard", name="pk_costs"),
    )
    _sum_up()


def _sum_up() -> None:
    """Add what is known of earlier calls. The day of a charge is that of its run's submission."""
    postgres = op.get_bind().dialect.name == "postgresql"
    tables = [(one, "a.created_at", "a.model") for one in ("artifacts", "past_versions")]
    tables.append(("charges", "r.created_at", "''"))
    for table, at, model in tables:
        day = (
            f"to_char({at} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
            if postgres
            else f"substr({at}, 1, 10)"
        )
        op.execute(
            f"""
            INSERT INTO costs (day, tenant, model, step, shard, attempts, prompt_tokens,
                completion_tokens, cost, priced, estimated)
            SELECT {day}, r.tenant, {model}, a.step, {_SHARD[table]}, sum(a.attempts),
                sum(a.prompt_tokens), sum(a.completion_tokens),
                CAST(round(CAST(coalesce(sum(a.cost), 0) * {_NANOS} AS numeric)) AS bigint),
                sum(CASE WHEN a.cost IS NULL THEN 0 ELSE a.attempts END),
                sum(CASE WHEN a.estimated THEN a.attempts ELSE 0 END)
            FROM {table} a JOIN runs r ON r.run_id = a.run_id
            WHERE a.attempts > 0
            GROUP BY 1, 2, 3, 4
            """  # noqa: S608 - only the constants above
        )
