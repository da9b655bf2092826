"""The tables. Other tools may read them; only paceline writes them.

Times are in UTC, by the database's clock (see ``columns.UtcTime``).
"""

from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    UniqueConstraint,
    false,
    text,
)

from paceline_adapters.sql.columns import UtcTime, Words

#: A row with any columns.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]

# What the migrations give to PostgreSQL alone is noted as `info`. To check it as an option,
# SQLAlchemy would import the dialect, also for SQLite. Nothing creates tables from this metadata.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _of_run() -> "Column[str]":
    return Column("run_id", Words, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False)


#: One row per run. ``seconds`` is the time of ended claims, ``claimed_at`` the start of the current
#: one. ``generation`` counts the runs of one roadmap id, so that two processes that
#: submit the roadmap at once cannot both create the next run. ``context`` and ``scope`` are JSON.
#: ``extended`` is set if a running run got more to do after its claim. ``ends`` counts its ends.
#: ``purging``: the run is being deleted, and does not exist for anything else.
#: ``budget`` is the run's own budget in nanos. ``short_of`` is the limit that paused it, as JSON.
#: ``held``: the pause of its tenant paused the run. ``claim_order`` is when a queued run's turn
#: comes, in ms since 1970: its submission, earlier or later by its priority.
#: PostgreSQL's pages keep free space and ``lease_until`` has no index, so that renewing a lease
#: updates no index.
runs = Table(
    "runs",
    metadata,
    Column("run_id", Words, nullable=False),
    Column("roadmap_id", Words, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("status", Words, nullable=False),
    Column("title", Words, nullable=False),
    Column("content_hash", Words, nullable=False),
    Column("executor", Words, nullable=False),
    Column("total", Integer, nullable=False),
    Column("reason", Words),
    Column("fence", Integer, nullable=False),
    Column("owner", Words),
    Column("lease_until", UtcTime),
    Column("cancel_requested", Boolean, nullable=False),
    Column("takeovers", Integer, nullable=False),
    Column("artifacts_at_claim", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("tenant", Words, nullable=False, server_default=""),
    Column("weight", Float, nullable=False, server_default="1"),
    Column("pause_requested", Words),
    Column("claimed_at", UtcTime),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("context", Words),
    Column("scope", Words),
    Column("extended", Boolean, nullable=False, server_default=false()),
    Column("ends", Integer, nullable=False, server_default="0"),
    Column("purging", Boolean, nullable=False, server_default=false()),
    Column("budget", BigInteger),
    Column("short_of", Words),
    Column("held", Boolean, nullable=False, server_default=false()),
    Column("priority", Words, nullable=False, server_default="normal"),
    Column("claim_order", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("run_id"),
    UniqueConstraint("roadmap_id", "generation"),
    Index("ix_runs_status_run_id", "status", "run_id"),
    Index("ix_runs_roadmap_id_run_id", "roadmap_id", "run_id"),
    Index("ix_runs_tenant_run_id", "tenant", "run_id"),
    Index("ix_runs_tenant_status_run_id", "tenant", "status", "run_id"),
    Index("ix_runs_tenant_roadmap_id_run_id", "tenant", "roadmap_id", "run_id"),
    Index(
        "ix_runs_queued",
        "executor",
        "claim_order",
        "run_id",
        info={"postgresql_where": text("status = 'queued'")},
        sqlite_where=text("status = 'queued'"),
    ),
    Index(
        "ix_runs_ended",
        "finished_at",
        "run_id",
        info={"postgresql_where": text("finished_at IS NOT NULL")},
        sqlite_where=text("finished_at IS NOT NULL"),
    ),
    Index(
        "ix_runs_tenant_ended",
        "tenant",
        "finished_at",
        "run_id",
        info={"postgresql_where": text("finished_at IS NOT NULL")},
        sqlite_where=text("finished_at IS NOT NULL"),
    ),
    Index(
        "ix_runs_purging",
        "run_id",
        info={"postgresql_where": text("purging")},
        sqlite_where=text("purging = 1"),
    ),
    Index(
        "ix_runs_short_of",
        "executor",
        "run_id",
        info={"postgresql_where": text("short_of IS NOT NULL")},
        sqlite_where=text("short_of IS NOT NULL"),
    ),
    Index(
        "ix_runs_held",
        "executor",
        "run_id",
        info={"postgresql_where": text("held")},
        sqlite_where=text("held = 1"),
    ),
    info={"postgresql_with": {"fillfactor": 70}},
)

#: The roadmap of each run, as canonical JSON. It has a table of its own because SQLite rewrites
#: the row when one field changes, and a roadmap may have 32 MiB.
roadmaps = Table(
    "roadmaps",
    metadata,
    _of_run(),
    Column("content", Words, nullable=False),
    PrimaryKeyConstraint("run_id"),
)

#: Runs by the key of their submission.
submissions = Table(
    "submissions",
    metadata,
    Column("submission_key", Words, nullable=False),
    _of_run(),
    PrimaryKeyConstraint("submission_key"),
    Index("ix_submissions_run_id", "run_id"),
)

concepts = Table(
    "concepts",
    metadata,
    _of_run(),
    Column("concept_id", Words, nullable=False),
    Column("position", Integer, nullable=False),
    Column("status", Words, nullable=False),
    Column("reason", Words),
    Column("attempts", Integer, nullable=False),
    Column("last_answer", Words),
    Column("updated_at", UtcTime),
    PrimaryKeyConstraint("run_id", "concept_id"),
    Index("ix_concepts_run_id_status", "run_id", "status"),
)


def _version_columns() -> "list[Column[Any]]":
    """What is kept of every version of an artifact.

    ``saving`` is the time from the valid answer to the commit. ``phases`` is what the step did, as
    JSON: see ``paceline.contracts.storage.timeline``.
    """
    return [
        Column("content", Words, nullable=False),
        Column("model", Words, nullable=False),
        Column("prompt_tokens", Integer, nullable=False),
        Column("completion_tokens", Integer, nullable=False),
        Column("cost", Float),
        Column("seconds", Float, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("created_at", UtcTime, nullable=False),
        Column("estimated", Boolean, nullable=False, server_default=false()),
        Column("fallback", Words),
        Column("version", Integer, nullable=False, server_default="1"),
        Column("prompt_hash", Words),
        Column("input_hash", Words),
        Column("instruction", Words),
        Column("tenant", Words),
        Column("requested_by", Words),
        Column("adopted_from", Words),
        Column("fence", Integer),
        Column("saving", Float, nullable=False, server_default="0"),
        Column("phases", Words),
    ]


def _of_adopted(name: str) -> Index:
    """An index of the artifacts that were taken over, by the run that made them."""
    adopted = text("adopted_from IS NOT NULL")
    return Index(name, "adopted_from", info={"postgresql_where": adopted}, sqlite_where=adopted)


#: The current version of each artifact. ``changes`` counts how often another version became
#: current. ``stale``: an artifact that it was made from has another version since.
artifacts = Table(
    "artifacts",
    metadata,
    _of_run(),
    Column("roadmap_id", Words, nullable=False),
    Column("concept_id", Words, nullable=False),
    Column("step", Words, nullable=False),
    *_version_columns(),
    Column("changes", Integer, nullable=False, server_default="1"),
    Column("stale", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("run_id", "concept_id", "step"),
    Index("ix_artifacts_roadmap_id", "roadmap_id"),
    Index("ix_artifacts_input_hash", "input_hash"),
    _of_adopted("ix_artifacts_adopted_from"),
)

#: The versions of artifacts that are not current. Readers of current content need only
#: ``artifacts``.
past_versions = Table(
    "past_versions",
    metadata,
    _of_run(),
    Column("concept_id", Words, nullable=False),
    Column("step", Words, nullable=False),
    *_version_columns(),
    PrimaryKeyConstraint("run_id", "concept_id", "step", "version"),
    _of_adopted("ix_past_versions_adopted_from"),
)

#: Artifacts to make again. ``number`` rises with each request for the same artifact, so that a
#: save removes only the request that it fulfilled.
revisions = Table(
    "revisions",
    metadata,
    _of_run(),
    Column("concept_id", Words, nullable=False),
    Column("step", Words, nullable=False),
    Column("number", Integer, nullable=False),
    Column("instruction", Words),
    Column("tenant", Words, nullable=False, server_default=""),
    Column("requested_by", Words),
    Column("requested_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("run_id", "concept_id", "step"),
)

#: Results that steps recorded while they make an artifact; deleted when it is saved.
journal = Table(
    "journal",
    metadata,
    _of_run(),
    Column("concept_id", Words, nullable=False),
    Column("step", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", Words, nullable=False),
    Column("value", Words, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("run_id", "concept_id", "step", "version", "name"),
)

#: What each claim spent on a step without an artifact. What was in flight when a worker was lost
#: has an empty concept and step. ``seconds`` and ``phases`` are as for artifacts.
charges = Table(
    "charges",
    metadata,
    _of_run(),
    Column("concept_id", Words, nullable=False),
    Column("step", Words, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cost", Float),
    Column("estimated", Boolean, nullable=False),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("phases", Words),
    Column("charged_at", UtcTime),
    PrimaryKeyConstraint("run_id", "concept_id", "step", "fence"),
)

#: What is known of each limit of a budget, in nanos. ``name`` is that of ``BudgetAccount``.
#: ``warned`` is the limit that was reported last.
budget_accounts = Table(
    "budget_accounts",
    metadata,
    Column("name", Words, nullable=False),
    Column("run_id", Words, ForeignKey("runs.run_id", ondelete="CASCADE")),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("warned", BigInteger),
    PrimaryKeyConstraint("name"),
    Index("ix_budget_accounts_run_id", "run_id"),
    info={"postgresql_with": {"fillfactor": 50}},
)

#: What calls in flight have reserved, in nanos: one row per call. ``accounts`` are names, as JSON.
#: There is no key to ``runs``, because the accounts of a day outlive a run.
budget_reservations = Table(
    "budget_reservations",
    metadata,
    Column("id", Words, nullable=False),
    Column("worker_id", Words, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("accounts", Words, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_budget_reservations_worker_id", "worker_id"),
)

#: What all calls cost, also of purged runs, by day in UTC. ``model`` is empty for calls without an
#: artifact. ``cost`` is in nanos, and ``priced`` counts the calls that had a price. Each process
#: has a ``shard``, so that workers that save at once do not wait for each other.
costs = Table(
    "costs",
    metadata,
    Column("day", Words, nullable=False),
    Column("tenant", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("step", Words, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("priced", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "tenant", "model", "step", "shard"),
)

#: What is still to be delivered to each sink; a row is deleted when the sink has accepted it. An
#: ended run has an empty concept and step, and ``body`` says how it ended. ``number`` is the
#: artifact's ``changes``, or the run's ``ends``. ``due_at`` is the end of a pause, or of the
#: ``lease`` of the worker that delivers it.
outbox = Table(
    "outbox",
    metadata,
    Column("sink", Words, nullable=False),
    Column("delivery_id", Words, nullable=False),
    _of_run(),
    Column("concept_id", Words, nullable=False),
    Column("step", Words, nullable=False),
    Column("number", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Words),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("lease", Words),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("reason", Words),
    Column("dead", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("sink", "delivery_id"),
    Index("ix_outbox_of_artifact", "run_id", "concept_id", "step", "sink", "number"),
    Index(
        "ix_outbox_due",
        "sink",
        "due_at",
        info={"postgresql_where": text("NOT dead")},
        sqlite_where=text("NOT dead"),
    ),
    Index(
        "ix_outbox_dead", "sink", info={"postgresql_where": text("dead")}, sqlite_where=text("dead")
    ),
)

#: One row per sink that was ever used. ``failures`` counts how often in a row it was down.
sink_states = Table(
    "sink_states",
    metadata,
    Column("sink", Words, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("down_since", UtcTime),
    Column("retry_at", UtcTime),
    Column("reason", Words),
    Column("delivered", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("sink"),
    info={"postgresql_with": {"fillfactor": 50}},
)

#: ``open_steps`` are the steps in work, as JSON: only the timeline of a run needs them.
workers = Table(
    "workers",
    metadata,
    Column("worker_id", Words, nullable=False),
    Column("host", Words, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Float, nullable=False),
    Column("executor", Words, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("pool_max", Integer, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("beat_at", UtcTime, nullable=False),
    Column("figures", Words, nullable=False),
    Column("drain", Boolean, nullable=False, server_default=false()),
    Column("open_steps", Words),
    PrimaryKeyConstraint("worker_id"),
    info={"postgresql_with": {"fillfactor": 50}},
)

#: What is paused, and the numbers that replace settings. ``name`` is ``pause TARGET`` or
#: ``limit LIMIT KEY``, ``body`` is JSON, and ``version`` is the number of the change in
#: ``control_log``. The row ``version`` has the newest number. Each change locks it first, so
#: numbers become visible in their order.
controls = Table(
    "controls",
    metadata,
    Column("name", Words, nullable=False),
    Column("body", Words, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("changed_by", Words, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("name"),
)

#: Who changed what, and when.
control_log = Table(
    "control_log",
    metadata,
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("changed_by", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("tenant", Words, nullable=False),
    PrimaryKeyConstraint("number"),
    Index("ix_control_log_tenant_number", "tenant", "number"),
)
