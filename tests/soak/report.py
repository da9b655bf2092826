"""The table of the kills: for people, for the documentation, and for programs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ROWS: "list[Row]" = []

_COLUMNS = (
    "executor",
    "store",
    "kills",
    "runs",
    "lost",
    "duplicated",
    "paid twice",
    "in flight at the kills",
    "seconds to recover: median",
    "max",
    "seed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the kills did to one executor on one store.

    Attributes:
        executor: the executor.
        store: the store.
        kills: kills of worker processes.
        runs: runs that were worked on meanwhile.
        lost: artifacts that are missing in the end.
        duplicated: artifacts that are there twice.
        paid_twice: payments beyond the first of each prompt.
        in_flight: calls in flight at the instants of the kills, over all workers: the bound.
        seconds: from each kill until the victim's runs had an owner again.
        seed: what the instants were drawn with.
    """

    executor: str
    store: str
    kills: int
    runs: int
    lost: int
    duplicated: int
    paid_twice: int
    in_flight: int
    seconds: tuple[float, ...]
    seed: int

    def cells(self) -> list[str]:
        """As the table shows it."""
        middle = f"{median(self.seconds):.1f}" if self.seconds else "-"
        longest = f"{max(self.seconds):.1f}" if self.seconds else "-"
        numbers = (self.kills, self.runs, self.lost, self.duplicated, self.paid_twice)
        return [
            self.executor,
            self.store,
            *map(str, numbers),
            str(self.in_flight),
            middle,
            longest,
            str(self.seed),
        ]


def table() -> str:
    """All rows as Markdown."""
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *(row.cells() for row in ROWS)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(folder: Path) -> None:
    """Write ``kills.md`` and ``kills.json`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kills.md").write_text(table() + "\n")
    rows = json.dumps([asdict(row) for row in ROWS], indent=2)
    (folder / "kills.json").write_text(rows + "\n")
