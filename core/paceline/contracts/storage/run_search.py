"""Searching runs, page by page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from paceline.contracts.storage.records import Run, RunStatus
from paceline.contracts.storage.spending import Spent

#: What a run without calls has cost.
NOTHING_SPENT = Spent()
#: Maximum number of runs that one page of a search for a text looks at.
SCANNED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSearch:
    """Which runs to find. A run matches if it meets every condition.

    Attributes:
        text: part of the title or of the roadmap's id, in any case, or the beginning of the
            run's id.
        status: only runs with one of these statuses.
        roadmap_id: only runs of this roadmap.
        tenants: only runs of these tenants; the empty name matches runs without a tenant.
        since: only runs submitted at this time or later.
        until: only runs submitted before this time.
        oldest_first: whether the oldest run comes first, rather than the newest.
    """

    text: str = ""
    status: tuple[RunStatus, ...] = ()
    roadmap_id: str | None = None
    tenants: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    oldest_first: bool = False

    def has_text(self, run_id: str, roadmap_id: str, title: str) -> bool:
        """Whether the text matches a run."""
        text = self.text.casefold().strip()
        return run_id.startswith(text) or text in title.casefold() or text in roadmap_id.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTotals:
    """How far a run is, and what it has cost.

    Attributes:
        artifacts: number of its artifacts.
        spent: what its calls cost.
    """

    artifacts: int = 0
    spent: Spent = NOTHING_SPENT


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRuns:
    """One page of a search.

    Attributes:
        runs: the runs, in order.
        cursor: the run to continue after; ``None`` on the last page. A page may have fewer runs
            than its limit, even none, and still have a cursor: it looked at ``SCANNED`` runs.
        totals: the totals of the runs by id, if they were asked for.
    """

    runs: Sequence[Run]
    cursor: str | None = None
    totals: Mapping[str, RunTotals] = field(default_factory=dict[str, RunTotals])
