"""Heatmaps of strategies × executors, one for each figure and store."""

from collections.abc import Sequence
from math import log

from paceline_adapters.bench.figures import FIGURES, Figure
from paceline_adapters.bench.report.formatting import (
    heading,
    number,
    spread_text,
    stores_of,
    title_of_store,
)
from paceline_adapters.bench.report.html import Markup, el, named
from paceline_adapters.bench.results import CellResults, Results

GROUPS = {
    "throughput": "Throughput",
    "database": "Database",
    "events": "Progress events",
    "layers": "Both layers",
}
_SHADES = 9
#: Shades are logarithmic if the largest value is more than this many times the smallest.
_WIDE = 10


def heatmaps(results: Results) -> Markup:
    """The section; without JavaScript every heatmap is shown, otherwise the selected one."""
    cells = [cell for cell in results.cells if not cell.contestant]
    known = {name: figure for name, figure in FIGURES.items() if _medians(cells, name)}
    if not known:
        return el("section", el("h2", "The matrix"), el("p", "No cell of paceline was measured."))
    chosen = next(iter(known))
    groups = [
        el(
            "optgroup",
            *(
                el("option", heading(figure), value=name, selected=name == chosen)
                for name, figure in known.items()
                if figure.group == group
            ),
            label=title,
        )
        for group, title in GROUPS.items()
        if any(figure.group == group for figure in known.values())
    ]
    control = el(
        "p",
        el("label", "Figure ", el("select", *groups, id="figure")),
        el("span", "The ← and → keys also change the figure.", class_="hint"),
        class_="control js",
    )
    maps = [_map(name, figure, cells) for name, figure in known.items()]
    return el("section", el("h2", "The matrix"), control, *maps, id="matrix")


def shade(value: float, values: Sequence[float]) -> int:
    """The shade of a value from 0, the smallest, to 8, the largest."""
    low, high = min(values), max(values)
    if low == high:
        return 0
    if low > 0 and high / low > _WIDE:
        share = (log(value) - log(low)) / (log(high) - log(low))
    else:
        share = (value - low) / (high - low)
    return min(_SHADES - 1, int(share * _SHADES))


def _map(name: str, figure: Figure, cells: Sequence[CellResults]) -> Markup:
    values = _medians(cells, name)
    tables = [
        _table(name, figure, [c for c in cells if c.store == store], values, title_of_store(store))
        for store in stores_of(cells)
    ]
    wide = min(values) > 0 and max(values) / min(values) > _WIDE
    legend = el(
        "p",
        el("span", number(min(values))),
        *(el("span", class_=f"swatch q{step}") for step in range(_SHADES)),
        el("span", number(max(values))),
        el("span", _legend(figure, wide=wide)),
        class_="legend",
    )
    return el(
        "div",
        el("h3", heading(figure)),
        el("p", figure.meaning, class_="note"),
        el("div", *tables, class_="stores"),
        legend,
        class_="map",
        data_figure=name,
    )


def _legend(figure: Figure, *, wide: bool) -> str:
    better = {
        "lower": "▾ lowest is best",
        "higher": "▾ highest is best",
        "neither": "no direction is better",
    }[figure.better]
    return f"{better}{'; logarithmic shades' if wide else ''}"


def _table(
    name: str, figure: Figure, cells: Sequence[CellResults], values: Sequence[float], store: str
) -> Markup:
    executors = list(dict.fromkeys(cell.executor for cell in cells))
    strategies = list(dict.fromkeys(cell.strategy for cell in cells))
    heads = el("tr", el("td"), *(el("th", named(one), scope="col") for one in executors))
    rows = [
        el(
            "tr",
            el("th", named(strategy), scope="row"),
            *(
                _field(
                    name,
                    figure,
                    [c for c in cells if (c.strategy, c.executor) == (strategy, executor)],
                    values,
                )
                for executor in executors
            ),
        )
        for strategy in strategies
    ]
    table = el("table", el("caption", store), el("thead", heads), el("tbody", *rows))
    return el("div", table, class_="wide", tabindex="0")


def _field(
    name: str, figure: Figure, cells: Sequence[CellResults], values: Sequence[float]
) -> Markup:
    if not cells:
        return el("td", "", class_="none")
    (cell,) = cells[:1]
    value = cell.median(name)
    spread = spread_text(cell, name, figure.unit)
    if value is None:
        return el("td", "–", el("span", spread, class_="vh"), class_="none")
    best = {"lower": min(values), "higher": max(values), "neither": None}[figure.better]
    mark = el("span", "▾", class_="best", aria_label="best") if value == best else ""
    return el(
        "td",
        mark,
        number(value),
        el("span", f", {spread}", class_="vh"),
        class_=f"q{shade(value, values)}",
        tabindex="0",
        title=f"{cell.name}: {spread}",
    )


def _medians(cells: Sequence[CellResults], figure: str) -> list[float]:
    return [value for cell in cells if (value := cell.median(figure)) is not None]
