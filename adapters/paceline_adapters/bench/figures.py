"""The figures of a cell: name, unit, meaning, and whether lower or higher is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal["throughput", "database", "events", "layers"]
Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One value that is measured in each round.

    Attributes:
        group: section of the report.
        title: heading in tables.
        unit: unit of the value; empty for counts.
        better: whether lower or higher is better.
        meaning: definition and source, in one sentence.
    """

    group: Group
    title: str
    unit: str
    better: Better
    meaning: str


#: By the name in results, CSV files and ``extra_info``. A round has the figures that can be
#: measured: SQLite has no server connections, and a hand-written script publishes no events.
FIGURES: Mapping[str, Figure] = {
    "makespan": Figure(
        "throughput",
        "Makespan",
        "s",
        "lower",
        "Time from the submission of the first roadmap to the end of the last run.",
    ),
    "lower_bound": Figure(
        "throughput",
        "Lower bound",
        "s",
        "neither",
        "Minimum makespan for the same latencies: the longest of the critical path, "
        "work ÷ limit and work ÷ quota.",
    ),
    "over_bound": Figure(
        "throughput",
        "Makespan ÷ bound",
        "×",
        "lower",
        "1.00 means that no schedule could have been faster.",
    ),
    "list_schedule": Figure(
        "throughput",
        "List schedule",
        "s",
        "neither",
        "Makespan of a first-come, first-served scheduler without overhead, for the same "
        "latencies and the cell's limits.",
    ),
    "over_schedule": Figure(
        "throughput",
        "Makespan ÷ list schedule",
        "×",
        "lower",
        "The part above 1.00 is the overhead of paceline itself.",
    ),
    "concepts_per_second": Figure(
        "throughput", "Concepts", "/s", "higher", "Concepts completed ÷ makespan."
    ),
    "calls_per_second": Figure("throughput", "Calls", "/s", "higher", "Calls answered ÷ makespan."),
    "calls_refused": Figure(
        "throughput", "Rejected", "", "lower", "Calls that the provider rejected with 429."
    ),
    "cpu_per_call": Figure(
        "throughput",
        "CPU per call",
        "ms",
        "lower",
        "Processor time of all measured processes ÷ calls answered.",
    ),
    "rss_peak": Figure(
        "throughput",
        "Peak memory",
        "MiB",
        "lower",
        "Maximum resident memory of all measured processes together.",
    ),
    "rss_per_concept": Figure(
        "throughput",
        "Memory per concept",
        "KiB",
        "lower",
        "Growth of resident memory from the start to the peak ÷ peak of concepts in flight.",
    ),
    "connections_peak": Figure(
        "database",
        "Connections, peak",
        "",
        "lower",
        "Maximum number of the cell's backends in pg_stat_activity.",
    ),
    "connections_mean": Figure(
        "database",
        "Connections, mean",
        "",
        "lower",
        "The cell's backends in pg_stat_activity, mean over the makespan.",
    ),
    "active_peak": Figure(
        "database",
        "Active, peak",
        "",
        "lower",
        "Maximum number of the cell's backends that were not idle.",
    ),
    "active_mean": Figure(
        "database",
        "Active, mean",
        "",
        "lower",
        "The cell's backends that were not idle, mean over the makespan.",
    ),
    "transactions_per_concept": Figure(
        "database",
        "Transactions per concept",
        "",
        "lower",
        "Distinct transactions in the server's log, including single statements, ÷ concepts.",
    ),
    "statements_per_concept": Figure(
        "database",
        "Statements per concept",
        "",
        "lower",
        "Executed statements in pg_stat_statements ÷ concepts.",
    ),
    "commit_p50": Figure(
        "database", "Commit, p50", "ms", "lower", "Duration of COMMIT in the server's log."
    ),
    "commit_p99": Figure(
        "database", "Commit, p99", "ms", "lower", "Duration of COMMIT in the server's log."
    ),
    "lock_waits": Figure(
        "database",
        "Lock waits",
        "",
        "lower",
        "Waits for a lock of at least 10 ms, in the server's log.",
    ),
    "checkout_p50": Figure(
        "database",
        "Pool wait, p50",
        "ms",
        "lower",
        "Time from requesting a connection of the pool to receiving it.",
    ),
    "checkout_p99": Figure(
        "database",
        "Pool wait, p99",
        "ms",
        "lower",
        "Time from requesting a connection of the pool to receiving it.",
    ),
    "pool_timeouts": Figure(
        "database", "Pool timeouts", "", "lower", "Requests for a pool connection that timed out."
    ),
    "busy_waits": Figure(
        "database",
        "Busy waits",
        "",
        "lower",
        "SQLite only: transactions that waited for another writer.",
    ),
    "events_total": Figure(
        "events",
        "Events",
        "",
        "neither",
        "Progress events that one subscriber of all runs received.",
    ),
    "events_peak": Figure(
        "events",
        "Events, peak second",
        "/s",
        "lower",
        "Maximum number of events within one second.",
    ),
    "events_mean": Figure("events", "Events, mean", "/s", "neither", "Events ÷ makespan."),
    "coalesced_total": Figure(
        "events",
        "Coalesced",
        "",
        "neither",
        "Messages that a client of all runs gets for these events at the level roadmap, "
        "at the default rate of 4 per second, computed with the server's own code.",
    ),
    "coalesced_peak": Figure(
        "events",
        "Coalesced, peak second",
        "/s",
        "lower",
        "Maximum number of messages to that client within one second.",
    ),
    "coalesced_mean": Figure(
        "events", "Coalesced, mean", "/s", "neither", "Messages to that client ÷ makespan."
    ),
    "event_delay_p50": Figure(
        "events",
        "Event delay, p50",
        "ms",
        "lower",
        "Time from an artifact's commit (created_at) to the receipt of its event.",
    ),
    "event_delay_p99": Figure(
        "events",
        "Event delay, p99",
        "ms",
        "lower",
        "Time from an artifact's commit (created_at) to the receipt of its event.",
    ),
    "roadmaps_peak": Figure(
        "layers",
        "Roadmaps active, peak",
        "",
        "neither",
        "Maximum number of runs between their first and last event.",
    ),
    "concepts_peak": Figure(
        "layers",
        "Concepts in flight, peak",
        "",
        "neither",
        "Maximum number of concepts between their first and last event.",
    ),
    "calls_peak": Figure(
        "layers",
        "Calls in flight, peak",
        "",
        "neither",
        "Maximum number of calls in flight at the simulated provider.",
    ),
}
