"""Selected cells, measured by the engine in interleaved rounds."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from paceline import PartUnavailable
from paceline.planning.stacks import Part, parse_stack
from paceline_adapters.bench.cells import Cell
from paceline_adapters.bench.engine import Bench, RoundPlan
from paceline_adapters.bench.measure import PreparedCell
from paceline_adapters.bench.prepared_cells import find_contestants, prepare, prepare_contestants
from paceline_adapters.bench.results import CellResults
from paceline_adapters.bench.workload import Workload

CONTESTANTS = Path(__file__).parent / "contestants"


def paceline_cell(
    strategy: str,
    executor: str,
    workload: Workload,
    *,
    store: str = "postgresql",
    workers: int = 1,
) -> PreparedCell:
    """A cell of paceline, such as ``paceline_cell("per-roadmap:limit=5", "celery", …)``."""
    cell = Cell(parse_stack(strategy), Part.parse(executor), Part(store))
    (prepared,) = prepare([cell], workload, workers=workers)
    return prepared


def contestant_cell(
    name: str, workload: Workload, *, store: str = "postgresql", executor: str = ""
) -> PreparedCell:
    """A hand-written program, with its own executor or another one."""
    ((cell, path),) = (
        one for one in find_contestants(CONTESTANTS, Part(store)) if one[0].contestant == name
    )
    if executor:
        part = Part.parse(executor)
        cell = replace(cell, executor=part, contestant=f"{name} {part}")
    (prepared,) = prepare_contestants([(cell, path)], workload, workers=1)
    return prepared


def measure_cells(
    prepared: Sequence[PreparedCell], workload: Workload, *, rounds: int, warm_up: int = 0
) -> list[CellResults]:
    """Measure cells in interleaved rounds; the results are in the given order.

    Raises:
        PartUnavailable: a cell failed.
    """

    def on_progress(done: int, total: int, text: str) -> None:
        if text:
            sys.stderr.write(f"  {done + 1} of {total}: {text}\n")

    bench = Bench(
        prepared, workload, RoundPlan(rounds=rounds, warm_up=warm_up), on_progress=on_progress
    )
    bench.on_failure = _fail
    cells = {cell.name: cell for cell in bench.run().cells}
    return [cells[one.cell.name] for one in prepared]


def _fail(reason: str) -> None:
    raise PartUnavailable(reason)
