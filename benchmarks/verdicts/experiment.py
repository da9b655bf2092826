"""What the measurements of this folder share: cells by a line of text, and one call to measure."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paceline.errors import PartUnavailable
from paceline_adapters.bench.cells import Cell, Part, parse_stack
from paceline_adapters.bench.contests import contestants, prepare, prepare_contestants
from paceline_adapters.bench.engine import Bench, Plan
from paceline_adapters.bench.measure import Contest
from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.workload import Workload

CONTESTANTS = Path(__file__).parents[1] / "contestants"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One statement held against what was measured.

    Attributes:
        name: how the command calls it.
        said: the statement.
        verdict: ``holds``, ``does not hold``, or ``holds when …``.
        figures: what was measured, title to value with its unit.
    """

    name: str
    said: str
    verdict: str
    figures: dict[str, str]


def ours(strategy: str, executor: str, workload: Workload, *, workers: int = 1) -> Contest:
    """A cell of paceline's on PostgreSQL, as ``ours("per-roadmap:limit=5", "celery", …)``."""
    cell = Cell(parse_stack(strategy), Part.parse(executor), "postgresql")
    (contest,) = prepare([cell], workload, workers=workers)
    return contest


def by_hand(name: str, workload: Workload, **settings: str) -> Contest:
    """A contestant on PostgreSQL; ``settings`` are those of paceline that it follows."""
    found = [one for one in contestants(CONTESTANTS, "postgresql") if one[0].contestant == name]
    (contest,) = prepare_contestants(found, workload, workers=1)
    if not settings:
        return contest
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    told = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in dotted.items())
    cell = replace(contest.cell, contestant=f"{name} {told}")
    return replace(contest, cell=cell, settings={**contest.settings, **dotted})


def measured(
    contests: Sequence[Contest], workload: Workload, *, rounds: int, warm_up: int = 0
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


def shown(cell: CellResults, figure: str, unit: str = "", digits: int = 0) -> str:
    """A figure's median with its spread, as ``12 (11–14) /s``."""
    middle, spread = cell.median(figure), cell.spread(figure)
    if middle is None or spread is None:
        return "–"
    text = f"{middle:.{digits}f}"
    if spread[0] != spread[1]:
        text += f" ({spread[0]:.{digits}f}–{spread[1]:.{digits}f})"
    return f"{text} {unit}".strip()


def middle(cell: CellResults, figure: str) -> float:
    """A figure's median, which the cell must have."""
    found = cell.median(figure)
    assert found is not None, (cell.name, figure)
    return found
