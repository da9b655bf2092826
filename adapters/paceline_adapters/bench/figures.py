"""What is measured of a cell: each figure's name, unit, meaning, and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal["throughput", "database", "events", "layers"]
Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that is measured in each round.

    Attributes:
        group: the question it belongs to.
        title: as a table's head says it.
        unit: of its value; empty for counts.
        better: which way is better, where one is.
        meaning: where it comes from and what it says, one sentence.
    """

    group: Group
    title: str
    unit: str
    better: Better
    meaning: str


#: By the name that results, CSV files and ``extra_info`` use. A round has those it can know:
#: SQLite has no connections on a server, a hand-written script no events.
FIGURES: Mapping[str, Figure] = {
    "makespan": Figure(
        "throughput",
        "Makespan",
        "s",
        "lower",
        "From submitting the first roadmap to the end of the last run.",
    ),
    "lower_bound": Figure(
        "throughput",
        "Lower bound",
        "s",
        "neither",
        "What the same drawn latencies take at least: the critical path, work ÷ limit or "
        "work ÷ quota, whichever binds.",
    ),
    "over_bound": Figure(
        "throughput",
        "Makespan ÷ bound",
        "×",
        "lower",
        "1.00 means that no schedule at all could have been faster.",
    ),
    "list_schedule": Figure(
        "throughput",
        "List schedule",
        "s",
        "neither",
        "What a scheduler that costs nothing makes of the same latencies under the cell's limits, "
        "beginning first what comes first; no less than the lower bound.",
    ),
    "over_schedule": Figure(
        "throughput",
        "Makespan ÷ list schedule",
        "×",
        "lower",
        "What is above 1.00 is what paceline itself cost, the order being what it is.",
    ),
    "concepts_per_second": Figure(
        "throughput", "Concepts", "/s", "higher", "Concepts completed ÷ makespan."
    ),
    "calls_per_second": Figure("throughput", "Calls", "/s", "higher", "Calls answered ÷ makespan."),
    "calls_refused": Figure(
        "throughput", "Refused", "", "lower", "Calls that the provider answered with 429."
    ),
    "cpu_per_call": Figure(
        "throughput",
        "CPU per call",
        "ms",
        "lower",
        "Processor time of all our processes ÷ calls answered.",
    ),
    "rss_peak": Figure(
        "throughput",
        "Peak memory",
        "MiB",
        "lower",
        "Resident memory of all our processes together, at its highest.",
    ),
    "rss_per_concept": Figure(
        "throughput",
        "Memory per concept",
        "KiB",
        "lower",
        "Growth of resident memory from the start to the peak ÷ most concepts in flight.",
    ),
    "connections_peak": Figure(
        "database", "Connections, peak", "", "lower", "Our backends in pg_stat_activity, at most."
    ),
    "connections_mean": Figure(
        "database",
        "Connections, mean",
        "",
        "lower",
        "Our backends in pg_stat_activity, mean over the makespan.",
    ),
    "active_peak": Figure(
        "database", "Active, peak", "", "lower", "Our backends that were not idle, at most."
    ),
    "active_mean": Figure(
        "database",
        "Active, mean",
        "",
        "lower",
        "Our backends that were not idle, mean over the makespan.",
    ),
    "transactions_per_concept": Figure(
        "database",
        "Transactions per concept",
        "",
        "lower",
        "Distinct transactions in the server's log, single statements included.",
    ),
    "statements_per_concept": Figure(
        "database", "Statements per concept", "", "lower", "By the server's own count."
    ),
    "commit_p50": Figure(
        "database", "Commit, p50", "ms", "lower", "Duration of COMMIT as the server logs it."
    ),
    "commit_p99": Figure(
        "database", "Commit, p99", "ms", "lower", "Duration of COMMIT as the server logs it."
    ),
    "lock_waits": Figure(
        "database",
        "Lock waits",
        "",
        "lower",
        "Waits for a lock of 10 ms and more, as the server logs them.",
    ),
    "checkout_p50": Figure(
        "database",
        "Pool wait, p50",
        "ms",
        "lower",
        "From asking the pool for a connection to having it, in our processes.",
    ),
    "checkout_p99": Figure(
        "database",
        "Pool wait, p99",
        "ms",
        "lower",
        "From asking the pool for a connection to having it, in our processes.",
    ),
    "pool_timeouts": Figure(
        "database", "Pool timeouts", "", "lower", "Checkouts that were given up."
    ),
    "busy_waits": Figure(
        "database",
        "Busy waits",
        "",
        "lower",
        "SQLite only: transactions that had to wait for another writer.",
    ),
    "events_total": Figure(
        "events",
        "Events",
        "",
        "neither",
        "Progress events that one subscriber of all runs received.",
    ),
    "events_peak": Figure(
        "events", "Events, peak second", "/s", "lower", "Most events within one second."
    ),
    "events_mean": Figure("events", "Events, mean", "/s", "neither", "Events ÷ makespan."),
    "coalesced_total": Figure(
        "events",
        "Coalesced",
        "",
        "neither",
        "Messages that a client of all runs gets for these events at the level roadmap, at its "
        "default rate of 4 a second; by the server's own code.",
    ),
    "coalesced_peak": Figure(
        "events",
        "Coalesced, peak second",
        "/s",
        "lower",
        "Most messages to that client within one second.",
    ),
    "coalesced_mean": Figure(
        "events", "Coalesced, mean", "/s", "neither", "Messages to that client ÷ makespan."
    ),
    "event_delay_p50": Figure(
        "events",
        "Event delay, p50",
        "ms",
        "lower",
        "From an artifact's commit (its created_at) to the receipt of its event.",
    ),
    "event_delay_p99": Figure(
        "events",
        "Event delay, p99",
        "ms",
        "lower",
        "From an artifact's commit (its created_at) to the receipt of its event.",
    ),
    "roadmaps_peak": Figure(
        "layers", "Roadmaps active, peak", "", "neither", "Runs between their first and last event."
    ),
    "concepts_peak": Figure(
        "layers",
        "Concepts in flight, peak",
        "",
        "neither",
        "Concepts between their first and last event.",
    ),
    "calls_peak": Figure(
        "layers", "Calls in flight, peak", "", "neither", "As the simulated provider saw it."
    ),
}
