"""Writes the report."""

from collections import Counter
from math import isfinite
from pathlib import Path

from paceline import UsageError

from paceline_adapters.bench.report.files import write_rounds, write_summary
from paceline_adapters.bench.report.page import page
from paceline_adapters.bench.report.preference import Preference
from paceline_adapters.bench.report.ranking import Constraints, rank
from paceline_adapters.bench.results import Results


def write_report(
    results: Results, folder: Path, constraints: Constraints, prefer: Preference = "time"
) -> Path:
    """Write ``index.html``, ``results.json``, ``rounds.csv`` and ``summary.csv``.

    Args:
        results: the results of the benchmark.
        folder: created if missing; files of an older report are replaced.
        constraints: bounds for the recommended setting.
        prefer: what counts most among the settings within the bounds.

    Returns:
        Path of the page.

    Raises:
        UsageError: the results are empty or wrong, or the folder cannot be written.
    """
    html = render(results, constraints, prefer)
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


def render(results: Results, constraints: Constraints, prefer: Preference = "time") -> str:
    """The page as one HTML document without external files.

    Raises:
        UsageError: the results are empty or wrong.
    """
    _check(results)
    return page(results, rank(results, constraints, prefer))


def _check(results: Results) -> None:
    if not results.cells:
        raise UsageError("the results contain no cell; measure at least one")
    for name, count in Counter(cell.name for cell in results.cells).items():
        if count > 1:
            raise UsageError(
                f"names of cells must be unique, but the results contain {name!r} {count} times"
            )
    for cell in results.cells:
        if not cell.rounds:
            raise UsageError(f"{cell.name}: at least one round is needed, got 0")
        for found in cell.rounds:
            for figure, value in found.figures.items():
                if not isfinite(value):
                    raise UsageError(
                        f"{cell.name}: round {found.number}: {figure} must be finite, got {value}"
                    )
            if not found.figures.get("makespan", 0) > 0:
                raise UsageError(f"{cell.name}: round {found.number}: makespan must be above 0")
