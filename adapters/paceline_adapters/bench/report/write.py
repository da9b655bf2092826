"""From results to files."""

from collections import Counter
from math import isfinite
from pathlib import Path

from paceline import UsageError

from paceline_adapters.bench.report.files import write_rounds, write_summary
from paceline_adapters.bench.report.page import page
from paceline_adapters.bench.report.ranking import Constraints, rank
from paceline_adapters.bench.results import Results


def write_report(results: Results, folder: Path, constraints: Constraints) -> Path:
    """Write ``index.html``, ``results.json``, ``rounds.csv`` and ``summary.csv``.

    Args:
        results: what was measured.
        folder: where to; made where it is missing, and files of an older report are replaced.
        constraints: the bounds that the recommended setting has to keep.

    Returns:
        The page.

    Raises:
        UsageError: there is nothing to report of, or the folder cannot be written.
    """
    html = render(results, constraints)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        index = folder / "index.html"
        index.write_text(html, encoding="utf-8")
        (folder / "results.json").write_text(results.model_dump_json(indent=1), encoding="utf-8")
        write_rounds(results, folder / "rounds.csv")
        write_summary(results, folder / "summary.csv")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return index


def render(results: Results, constraints: Constraints) -> str:
    """The page, as one HTML document that loads nothing.

    Raises:
        UsageError: there is nothing to report of.
    """
    _check(results)
    return page(results, rank(results, constraints))


def _check(results: Results) -> None:
    if not results.cells:
        raise UsageError("the results hold no cell: measure at least one")
    for name, count in Counter(cell.name for cell in results.cells).items():
        if count > 1:
            raise UsageError(f"the results hold the cell {name!r} {count} times; names are unique")
    for cell in results.cells:
        if not cell.rounds:
            raise UsageError(f"{cell.name}: no round was measured; at least one is needed")
        for found in cell.rounds:
            for figure, value in found.figures.items():
                if not isfinite(value):
                    raise UsageError(
                        f"{cell.name}: round {found.number}: {figure} is {value}, no number"
                    )
            if not found.figures.get("makespan", 0) > 0:
                raise UsageError(f"{cell.name}: round {found.number} has no makespan above 0")
