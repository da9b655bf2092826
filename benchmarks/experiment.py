"""A few chosen cells, measured by the engine in turns."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from paceline.errors import PartUnavailable
from paceline_adapters.bench.cells import Cell, Part, StoreName, parse_stack
from paceline_adapters.bench.prepared_cells import contestants, prepare, prepare_contestants
from paceline_adapters.bench.engine import Bench, Plan
from paceline_adapters.bench.measure import PreparedCell
from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.workload import Workload

CONTESTANTS = Path(__file__).parent / "contestants"


def ours(
    strategy: str,
    executor: str,
    workload: Workload,
    *,
    store: StoreName = "postgresql",
    workers: int = 1,
) -> PreparedCell:
    """A cell of paceline's, as ``ours("per-roadmap:limit=5", "celery", …)``."""
    cell = Cell(parse_stack(strategy), Part.parse(executor), store)
    (contest,) = prepare([cell], workload, workers=workers)
    return contest


def by_hand(
    name: str, workload: Workload, *, store: StoreName = "postgresql", executor: str = ""
) -> PreparedCell:
    """A contestant, as it says of itself or with other options of its executor."""
    ((cell, path),) = (one for one in contestants(CONTESTANTS, store) if one[0].contestant == name)
    if executor:
        part = Part.parse(executor)
        cell = replace(cell, executor=part, contestant=f"{name} {part}")
    (contest,) = prepare_contestants([(cell, path)], workload, workers=1)
    return contest


def measured(
    contests: Sequence[PreparedCell], workload: Workload, *, rounds: int, warm_up: int = 0
) -> list[CellResults]:
    """Measure cells in turns; results in the order given.

    Raises:
        PartUnavailable: a cell failed.
    """

    def told(done: int, total: int, what: str) -> None:
        if what:
            sys.stderr.write(f"  {done + 1} of {total}: {what}\n")

    bench = Bench(contests, workload, Plan(rounds=rounds, warm_up=warm_up), told=told)
    bench.failed = _give_up
    cells = {cell.name: cell for cell in bench.run().cells}
    return [cells[contest.cell.name] for contest in contests]


def _give_up(why: str) -> None:
    raise PartUnavailable(why)
