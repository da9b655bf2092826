"""The table of faults that the long suites write for people, docs and programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.support.worker_processes import Site

#: The property under which a test records its row, so that xdist transfers it.
PROPERTY = "soak row"

_COLUMNS = (
    "fault",
    "executor",
    "store",
    "times",
    "runs",
    "lost",
    "duplicated",
    "paid twice",
    "in flight then",
    "attempts in vain",
    "seconds to recover: median",
    "max",
    "seed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The effects of one kind of fault on one executor and one store.

    Attributes:
        fault: the kind of fault.
        executor: the executor.
        store: the store.
        times: number of faults.
        runs: runs that were running at that time.
        lost: artifacts that are missing at the end.
        duplicated: artifacts that exist twice.
        paid_twice: payments beyond the first of each prompt.
        in_flight: calls in flight at those instants, over all workers.
        in_vain: attempts without a usable answer; the bound is these plus those in flight.
        seconds: to recover, for each time. From the death of a worker until its runs had an
            owner again; from the return of a part until an artifact was saved again.
        seed: the seed of the random instants.
    """

    fault: str
    executor: str
    store: str
    times: int
    runs: int
    lost: int
    duplicated: int
    paid_twice: int
    in_flight: int
    in_vain: int
    seconds: Sequence[float]
    seed: int

    def cells(self) -> list[str]:
        """As the table shows it."""
        middle = f"{median(self.seconds):.1f}" if self.seconds else "-"
        longest = f"{max(self.seconds):.1f}" if self.seconds else "-"
        numbers = (self.times, self.runs, self.lost, self.duplicated, self.paid_twice)
        return [
            self.fault,
            self.executor,
            self.store,
            *map(str, numbers),
            str(self.in_flight),
            str(self.in_vain),
            middle,
            longest,
            str(self.seed),
        ]


def missing(site: Site, artifacts: int) -> int:
    """The number of missing artifacts."""
    return artifacts - _distinct(site)


def twice(site: Site) -> int:
    """Artifacts that exist more than once."""
    return site.count("artifacts") - _distinct(site)


def in_vain(site: Site) -> int:
    """Attempts whose answer was not the one that was saved."""
    return int(site.sql("SELECT coalesce(sum(attempts - 1), 0) FROM artifacts"))


def _distinct(site: Site) -> int:
    rows = "SELECT DISTINCT run_id, concept_id, step FROM artifacts"
    return int(site.sql(f"SELECT count(*) FROM ({rows}) AS one"))


def table(rows: Sequence[Row]) -> str:
    """All rows as Markdown."""
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write ``faults.md`` and ``faults.json`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.md").write_text(table(rows) + "\n")
    data = json.dumps([asdict(row) for row in rows], indent=2)
    (folder / "faults.json").write_text(data + "\n")
