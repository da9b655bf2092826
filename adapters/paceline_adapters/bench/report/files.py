"""The report's CSV files, for other tools."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.bench.results import CellResults, Results

_CELL = ("cell", "strategy", "executor", "store", "contestant")
#: A spreadsheet would run a text with one of these prefixes as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def figure_names(results: Results) -> list[str]:
    """Figures of any round: known ones in their order, then unknown ones."""
    found = {
        name for cell in results.cells for measured in cell.rounds for name in measured.figures
    }
    return [*(name for name in FIGURES if name in found), *sorted(found - FIGURES.keys())]


def write_rounds(results: Results, path: Path) -> None:
    """One line per cell and round with all figures; figures that were not measured are empty."""
    names = figure_names(results)
    _write(
        path,
        [*_CELL, "round", "order", *names],
        (
            [
                *_cell(cell),
                measured.number,
                measured.order,
                *(measured.figures.get(n, "") for n in names),
            ]
            for cell in results.cells
            for measured in cell.rounds
        ),
    )


def write_summary(results: Results, path: Path) -> None:
    """One line per cell and figure: rounds, median, quartiles."""
    _write(
        path,
        [*_CELL, "figure", "unit", "rounds", "median", "q1", "q3"],
        (
            [*_cell(cell), name, _unit(name), len(cell.values(name)), cell.median(name), *spread]
            for cell in results.cells
            for name in figure_names(results)
            if (spread := cell.spread(name)) is not None
        ),
    )


def _unit(figure: str) -> str:
    return FIGURES[figure].unit if figure in FIGURES else ""


def _cell(cell: CellResults) -> list[str]:
    texts = (cell.name, cell.strategy, cell.executor, cell.store, cell.contestant)
    return [f"'{one}" if one.startswith(_FORMULA) else one for one in texts]


def _write(path: Path, head: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(lines)
