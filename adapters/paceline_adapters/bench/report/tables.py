"""Tables of all figures of all cells, and the definition of each figure."""

import json
from collections.abc import Mapping, Sequence
from statistics import median

from paceline_adapters.bench.figures import FIGURES, Figure
from paceline_adapters.bench.report.formatting import (
    heading,
    interval,
    number,
    ratio,
    short,
    spread_text,
    store_title,
)
from paceline_adapters.bench.report.heatmap import GROUPS
from paceline_adapters.bench.report.html import Markup, el, named
from paceline_adapters.bench.report.ranking import Ranking
from paceline_adapters.bench.results import CellResults, Results

Ratios = Mapping[str, Mapping[str, Sequence[float]]]


def tables(results: Results, ranking: Ranking) -> Markup:
    """One table per group of figures; each value with its ratio to a base cell."""
    nearest = ranking.nearest
    base = nearest.cell.name if nearest else results.cells[0].name
    known = {
        name: figure
        for name, figure in FIGURES.items()
        if any(cell.median(name) is not None for cell in results.cells)
    }
    ratios = {name: results.ratios(name, base) for name in known}
    options = [
        el("option", cell.name, value=str(index), selected=cell.name == base)
        for index, cell in enumerate(results.cells)
    ]
    control = el(
        "p", el("label", "Ratios to ", el("select", *options, id="base")), class_="control js"
    )
    note = el(
        "p",
        "Medians over the rounds with [quartiles], or with the lowest and highest value if there "
        "are fewer than four rounds. × is the median ratio to the same round of ",
        el("b", named(base), id="base-name"),
        ". A slower machine affects both sides alike. Click a heading to sort its table.",
        class_="note",
    )
    parts = [
        part
        for group, title in GROUPS.items()
        if (chosen := {n: f for n, f in known.items() if f.group == group})
        for part in (el("h3", title), _table(results.cells, chosen, ratios))
    ]
    return el(
        "section",
        el("h2", "All figures"),
        note,
        control,
        *parts,
        _data(results, known),
        id="figures",
    )


def glossary(results: Results) -> Markup:
    """The definition and source of each figure; figures that no cell has are marked."""
    parts: list[Markup] = []
    for group, title in GROUPS.items():
        entries = [
            part
            for name, figure in FIGURES.items()
            if figure.group == group
            for part in (
                el("dt", heading(figure), " ", el("code", name)),
                el("dd", figure.meaning, " ", el("small", _aside(results, name, figure))),
            )
        ]
        parts += [el("h3", title), el("dl", *entries)]
    return el("section", el("h2", "Definitions of the figures"), *parts, id="meaning")


def _aside(results: Results, name: str, figure: Figure) -> str:
    better = {"lower": "Lower is better.", "higher": "Higher is better.", "neither": ""}
    having = sum(1 for cell in results.cells if cell.median(name) is not None)
    if having == 0:
        return "Not measured in this benchmark."
    if having < len(results.cells):
        return f"{better[figure.better]} Measured for {having} of {len(results.cells)} cells."
    return better[figure.better]


def _table(cells: Sequence[CellResults], figures: Mapping[str, Figure], ratios: Ratios) -> Markup:
    heads = [
        el("th", el("button", heading(figure), type="button"), scope="col", title=figure.meaning)
        for figure in figures.values()
    ]
    first = el("th", el("button", "Cell", type="button"), scope="col")
    rows = [
        el(
            "tr",
            el("th", named(short(cell)), el("small", store_title(cell)), scope="row"),
            *(_field(cell, index, name, figure, ratios) for name, figure in figures.items()),
            class_="by-hand" if cell.contestant else None,
        )
        for index, cell in enumerate(cells)
    ]
    table = el("table", el("thead", el("tr", first, *heads)), el("tbody", *rows), class_="sortable")
    return el("div", table, class_="wide", tabindex="0")


def _field(cell: CellResults, index: int, name: str, figure: Figure, ratios: Ratios) -> Markup:
    value, spread = cell.median(name), cell.spread(name)
    if value is None or spread is None:
        return el("td", "–", class_="none")
    paired = ratios[name][cell.name]
    shown = f"× {ratio(median(paired))}" if paired else ""
    return el(
        "td",
        number(value),
        *([el("small", interval(*spread))] if spread[0] != spread[1] else []),
        el("small", shown, class_="ratio", data_cell=str(index), data_figure=name),
        data_value=repr(value),
        title=spread_text(cell, name, figure.unit),
    )


def _data(results: Results, figures: Mapping[str, Figure]) -> Markup:
    """Data for ratios to another base cell."""
    cells = [
        {
            "name": cell.name,
            "figures": {
                name: [found.figures.get(name) for found in cell.rounds]
                for name in figures
                if cell.values(name)
            },
        }
        for cell in results.cells
    ]
    # A script element is not unescaped, so its text must not contain a tag.
    text = json.dumps(cells, separators=(",", ":")).replace("<", "\\u003c")
    return el("script", Markup(text), type="application/json", id="data")
