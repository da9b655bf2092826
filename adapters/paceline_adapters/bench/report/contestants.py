"""Hand-written programs compared with paceline on the same workload."""

from statistics import median

from paceline_adapters.bench.report.axis import Axis
from paceline_adapters.bench.report.dot_plot import dot_plot
from paceline_adapters.bench.report.formatting import (
    interval,
    number,
    quantity,
    ratio,
    short,
    stores_of,
    title_of_store,
)
from paceline_adapters.bench.report.html import Markup, el, join, named
from paceline_adapters.bench.results import CellResults, Results

_FIGURES = {
    "cpu_per_call": "CPU per call, ms",
    "rss_peak": "Peak memory, MiB",
    "connections_peak": "Connections, peak",
    "transactions_per_concept": "Transactions per concept",
}


def contestants(results: Results) -> Markup:
    """The section; if no hand-written program was measured, it says so."""
    title = el("h2", "Comparison with hand-written programs")
    stores = stores_of([cell for cell in results.cells if cell.contestant])
    if not stores:
        text = (
            "No hand-written program was measured. The paceline repository contains some; to "
            "measure them, use --contestants benchmarks/contestants."
        )
        return el("section", title, el("p", text, class_="note"), id="by-hand")
    note = (
        "Rings and italics mark hand-written programs. They use the same client, connection pool "
        "and database. Ratios to the fastest one are computed round by round. The programs cannot "
        "resume after a crash, share a limit, order events or ensure one owner per run; no figure "
        "shows this."
    )
    return el(
        "section",
        title,
        el("p", note, class_="note"),
        *(_store(results, store) for store in stores),
        id="by-hand",
    )


def _store(results: Results, store: str) -> Markup:
    cells = sorted(
        (cell for cell in results.cells if cell.store == store),
        key=lambda cell: (cell.median("makespan") or 0.0, cell.name),
    )
    base = next(cell for cell in cells if cell.contestant)
    ratios = results.ratios("makespan", base.name)
    axis = Axis.around([0.0, *(v for cell in cells for v in cell.values("makespan"))], 4, 156)
    names = ("Program or setting", "Makespan, s", "", "÷ fastest hand-written", *_FIGURES.values())
    rows = [
        el(
            "tr",
            el("th", named(short(cell)), scope="row"),
            *_makespan(cell, axis),
            el("td", ratio(median(ratios[cell.name]))),
            *(_value(cell, figure) for figure in _FIGURES),
            class_="by-hand" if cell.contestant else None,
        )
        for cell in cells
    ]
    head = el("thead", el("tr", *(el("th", name, scope="col") for name in names)))
    table = el("table", head, el("tbody", *rows))
    return join(
        el("h3", title_of_store(store)),
        el("p", *_sentence(cells, base, results), class_="lead"),
        el("div", table, class_="wide", tabindex="0"),
    )


def _sentence(cells: list[CellResults], base: CellResults, results: Results) -> list[str]:
    ours = next((cell for cell in cells if not cell.contestant), None)
    if ours is None:
        return ["No cell of paceline was measured on this store."]
    ratios = results.ratios("makespan", base.name)[ours.name]
    times = f"{ratio(median(ratios))} ×"
    return [
        "The fastest cell of paceline, ",
        named(short(ours)),
        f", takes {times} the time of the fastest hand-written program, ",
        named(base.contestant),
        f" ({quantity(base.median('makespan') or 0.0, 's')}).",
    ]


def _makespan(cell: CellResults, axis: Axis) -> list[Markup]:
    middle = cell.median("makespan") or 0.0
    low, high = cell.spread("makespan") or (middle, middle)
    drawn = dot_plot(axis, low, middle, high, hollow=bool(cell.contestant))
    spread = [el("small", interval(low, high))] if len(cell.rounds) > 1 else []
    return [el("td", number(middle), *spread), el("td", drawn, class_="strip")]


def _value(cell: CellResults, figure: str) -> Markup:
    value = cell.median(figure)
    return el("td", "–", class_="none") if value is None else el("td", number(value))
