"""The ranking as a table: every candidate in order, and which bounds it exceeds."""

from statistics import median

from paceline_adapters.bench.cells import ONE_PROCESS
from paceline_adapters.bench.report.axis import Axis
from paceline_adapters.bench.report.dot_plot import dot_plot
from paceline_adapters.bench.report.formatting import interval, number, ratio, short, store_title
from paceline_adapters.bench.report.html import Markup, el, named
from paceline_adapters.bench.report.preference import CRITERIA
from paceline_adapters.bench.report.ranking import Check, Ranking, Verdict
from paceline_adapters.bench.report.reasons import title_of
from paceline_adapters.bench.results import CellResults, Results


def ranking_table(results: Results, ranking: Ranking) -> Markup:
    """The section: every candidate in order, and why other cells are not ranked."""
    axis = Axis.around(
        [0.0, *(found.figures["makespan"] for cell in results.cells for found in cell.rounds)],
        4,
        156,
    )
    rows = [_row(one, ranking, axis, str(rank)) for rank, one in enumerate(ranking.met, start=1)]
    rows += [_row(one, ranking, axis, "–") for one in ranking.missed]
    names = ["", "Setting", "Makespan, s", "", "÷ fastest", "Connections", "Events/s"]
    names += ["Coalesced/s", "Roadmaps end p50, p95, s", "Unfairness", "Bounds"]
    head = el("thead", el("tr", *(el("th", name, scope="col") for name in names)))
    table = el("div", el("table", head, el("tbody", *rows)), class_="wide", tabindex="0")
    note = (
        "Makespan: median over the rounds and [quartiles]. In the plot, the dot is the median, the "
        "line spans the quartiles, and the axis starts at 0. Connections and events: the highest "
        "value of any round, because a bound must hold in every round. Coalesced: messages that a "
        "client of all runs gets for these events at the level roadmap. ÷ fastest: median ratio to "
        "the fastest setting, round by round. Tie: the difference lies within the spread."
    )
    not_ranked = _not_ranked(ranking)
    return el(
        "section",
        el("h2", "The ranking"),
        el("p", note, class_="note"),
        table,
        *not_ranked,
        id="ranking",
    )


def bound_text(check: Check) -> str:
    """A bound that a cell exceeds, and by how much."""
    if check.worst is None:
        return f"an unknown number of {check.what} (not measured)"
    return (
        f"{number(check.worst)} {check.what}, {number(check.worst - check.bound)} above the bound "
        f"of {number(check.bound)} ({check.excess:.0%})"
    )


def _row(one: Verdict, ranking: Ranking, axis: Axis, rank: str) -> Markup:
    cell = one.cell
    low, high = cell.spread("makespan") or (0.0, 0.0)
    ratios = ranking.ratios.get(cell.name)
    chosen = one is ranking.recommended
    mark = ""
    if len(ranking.tied) > 1 and one in ranking.tied:
        mark = "tie, shown first" if chosen else "tie"
    elif chosen:
        mark = "recommended"
    elif len(ranking.first) > 1 and cell in ranking.first:
        mark = f"tie in {title_of(CRITERIA[ranking.prefer][0])}"
    return el(
        "tr",
        el("td", rank, class_="rank"),
        el(
            "th",
            named(short(cell)),
            el("small", ", ".join([store_title(cell), *([mark] if mark else [])])),
            scope="row",
        ),
        el("td", number(one.makespan), el("small", interval(low, high))),
        el("td", dot_plot(axis, low, one.makespan, high), class_="strip"),
        el("td", ratio(median(ratios)) if ratios else "–"),
        el("td", _highest(cell, "connections_peak")),
        el("td", _highest(cell, "events_peak")),
        el("td", _highest(cell, "coalesced_peak")),
        el("td", f"{_middle(cell, 'roadmap_end_p50')}, {_middle(cell, 'roadmap_end_p95')}"),
        el("td", _middle(cell, "unfairness")),
        el(
            "td",
            "; ".join(bound_text(check) for check in one.checks if check.excess) or "met",
            class_="bounds",
        ),
        class_="chosen" if chosen else "missed" if one.excess else None,
    )


def _middle(cell: CellResults, figure: str) -> str:
    value = cell.median(figure)
    return "–" if value is None else number(value)


def _highest(cell: CellResults, figure: str) -> str:
    values = cell.values(figure)
    return number(max(values)) if values else "–"


def _not_ranked(ranking: Ranking) -> list[Markup]:
    ours = [cell for cell in ranking.not_ranked if not cell.contestant]
    in_memory = [cell for cell in ours if cell.store == ONE_PROCESS]
    embedded = [cell for cell in ours if cell.store != ONE_PROCESS]
    reasons = {
        "a bound on connections needs a database server and these settings use none": embedded,
        "these settings keep runs in memory and lose them when the process ends": in_memory,
    }
    return [
        el(
            "p",
            f"Not ranked, because {reason}: ",
            *[part for cell in cells for part in (", ", named(short(cell)))][1:],
            ".",
            class_="note",
        )
        for reason, cells in reasons.items()
        if cells
    ]
