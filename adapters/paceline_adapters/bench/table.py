"""The results as a table for the terminal: one line per cell, medians with their spread."""

from collections.abc import Sequence
from statistics import median

from rich.table import Table
from rich.text import Text

from paceline_adapters.bench.compare import Compared
from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.bench.report.preference import is_tie
from paceline_adapters.bench.results import CellResults, Results

#: Figures that fit a terminal, with headings of two lines; the results file has all.
COLUMNS = {
    "makespan": "makespan\ns",
    "over_bound": "÷ bound\n×",
    "roadmap_end_p50": "ends p50\ns",
    "roadmap_end_p95": "ends p95\ns",
    "unfairness": "unfair-\nness ×",
    "calls_refused": "rejected\n",
    "cpu_per_call": "CPU/call\nms",
    "rss_peak": "memory\nMiB",
    "connections_peak": "DB\nconns",
    "transactions_per_concept": "DB tx\n/concept",
    "events_peak": "events\n/s peak",
    "coalesced_peak": "coalesced\n/s peak",
    "event_delay_p99": "delay p99\nms",
    "calls_peak": "calls\npeak",
}


def table(results: Results) -> Table:
    """A table to print with rich; the best value of each figure and its ties are highlighted."""
    made = Table(box=None, pad_edge=False)
    made.add_column("cell", overflow="fold")
    for heading in COLUMNS.values():
        made.add_column(heading, justify="right", no_wrap=True)
    best = {figure: _best(results.cells, figure) for figure in COLUMNS}
    for cell in results.cells:
        values = [_value(cell, figure, highlighted=cell.name in best[figure]) for figure in COLUMNS]
        made.add_row(cell.name, *values)
    return made


def compared_table(compared: Sequence[Compared]) -> Table:
    """Ratios of two benchmarks side by side; outliers are highlighted."""
    made = Table(box=None, pad_edge=False)
    made.add_column("cell", overflow="fold")
    for head in ("first", "second", "change"):
        made.add_column(head, justify="right", no_wrap=True)
    for one in compared:
        made.add_row(
            one.cell,
            f"{one.first:.3f}",
            f"{one.second:.3f}",
            Text(f"{one.change:+.1%}", style="bold red" if one.outlier else ""),
        )
    return made


def _best(cells: Sequence[CellResults], figure: str) -> set[str]:
    """Names of the best cells; none if all tie or no direction is better."""
    better = FIGURES[figure].better
    measured = [cell for cell in cells if cell.values(figure)]
    if better == "neither" or not measured:
        return set()
    pick = min if better == "lower" else max
    best = pick(measured, key=lambda cell: median(cell.values(figure)))
    tied = {one.name for one in measured if is_tie(one.values(figure), best.values(figure))}
    return tied if len(tied) < len(measured) else set()


def _value(cell: CellResults, figure: str, *, highlighted: bool) -> Text:
    value, spread = cell.median(figure), cell.spread(figure)
    if value is None or spread is None:
        return Text("")
    half = (spread[1] - spread[0]) / 2
    shown = number(value)
    if half >= 0.01 * abs(value) and number(half).strip("0."):
        shown += f" ±{number(half)}"
    return Text(shown, style="bold green" if highlighted else "")


def number(value: float) -> str:
    """A number with its significant digits."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
