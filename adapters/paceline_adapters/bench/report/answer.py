"""What the page opens with: the setting to take, why, and how every other one ranks."""

from statistics import median

from paceline_adapters.bench.report.html import Markup, el, join, named
from paceline_adapters.bench.report.ranking import Check, Constraints, Ranking, Verdict, unjudged
from paceline_adapters.bench.report.scale import Axis
from paceline_adapters.bench.report.snippet import snippet
from paceline_adapters.bench.report.strip import strip
from paceline_adapters.bench.report.words import (
    clipped,
    interval,
    number,
    quantity,
    quartiles,
    short,
)
from paceline_adapters.bench.results import CellResults, Results, WorkloadFacts

_STORES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def answer(results: Results, ranking: Ranking) -> Markup:
    """The section."""
    best, nearest = ranking.recommended, ranking.nearest
    parts = [el("p", _asked(ranking.constraints), class_="asked")]
    if nearest is None:
        parts.append(el("h2", "Nothing of paceline was measured, so nothing can be recommended."))
        return el("section", *parts, id="answer")
    if best is None:
        parts.append(el("h2", "No measured setting keeps every bound."))
        parts.append(el("p", *_shortfall(nearest, len(ranking.missed)), class_="why"))
        label = "The nearest one, as paceline.toml"
    else:
        parts.append(el("h2", *_headline(best.cell)))
        parts.append(el("p", *_why(ranking, best), class_="why"))
        label = "paceline.toml"
    code = el("pre", el("code", snippet(nearest.cell)), tabindex="0")
    copy = el("button", "Copy", type="button", class_="copy")
    figure = el("figure", el("figcaption", label, copy), code, class_="snippet")
    notes = _notes(results.workload, ranking)
    return el("section", *parts, figure, *notes, id="answer")


def ranked(results: Results, ranking: Ranking) -> Markup:
    """Every candidate in its order, and why the others are none."""
    axis = Axis.around(
        [0.0, *(found.figures["makespan"] for cell in results.cells for found in cell.rounds)],
        4,
        156,
    )
    rows = [_row(one, ranking, axis, str(place)) for place, one in enumerate(ranking.met, start=1)]
    rows += [_row(one, ranking, axis, "–") for one in ranking.missed]
    names = ("", "Setting", "Makespan, s", "", "÷ fastest", "Connections", "Events/s", "Bounds")
    head = el("thead", el("tr", *(el("th", name, scope="col") for name in names)))
    table = el("div", el("table", head, el("tbody", *rows)), class_="wide", tabindex="0")
    note = (
        "Makespan: median over the rounds and [quartiles]; the dot is the median, the line the "
        "quartiles, the axis begins at 0. Connections and events: the highest of any round, for a "
        "bound has to hold always. ÷ fastest: to the first of the list, round by round."
    )
    aside = _aside(ranking)
    return el(
        "section",
        el("h2", "The ranking"),
        el("p", note, class_="note"),
        table,
        *aside,
        id="ranking",
    )


def _asked(constraints: Constraints) -> Markup:
    bounds = [
        (constraints.max_connections, "database connections"),
        (constraints.max_events, "progress events in a second"),
        (constraints.rpm, "requests a minute"),
        (constraints.tpm, "tokens a minute"),
    ]
    given = [f"{number(bound)} {what}" for bound, what in bounds if bound is not None]
    return join(
        "Asked for: the shortest makespan within at most " + _listed(given) + "."
        if given
        else "Asked for: the shortest makespan, without bounds."
    )


def _headline(cell: CellResults) -> list[str]:
    return ["Use ", _code(cell.strategy), " on ", _code(cell.executor), f", {_STORES[cell.store]}."]


def _code(name: str) -> Markup:
    return el("code", named(name))


def _why(ranking: Ranking, best: Verdict) -> list[str]:
    """Two sentences, with the figures."""
    cell = best.cell
    over = cell.median("over_bound")
    first = f"Its makespan is {_makespan(cell)}"
    if over is not None:
        first += f", {number(over)} × what the drawn latencies take at least"
    kept = [
        f"{number(check.worst or 0)} of {number(check.bound)} {check.what}" for check in best.checks
    ]
    first += f", and its worst round reached {_listed(kept)}. " if kept else ". "
    others = [one for one in ranking.tied if one is not best]
    if others:
        return [first, *_tie(best, others)]
    second = [one for one in ranking.met if one is not best]
    if second:
        low, high = quartiles(ranking.ratios[second[0].cell.name])
        middle = number(second[0].makespan / best.makespan)
        return [
            first,
            "The next, ",
            named(short(second[0].cell)),
            f", takes {middle} × as long {interval(low, high)}{_outlawed(ranking, best)}.",
        ]
    if ranking.missed:
        return [
            first,
            f"None of the other {len(ranking.missed)} settings keeps every bound",
            f"{_outlawed(ranking, best)}.",
        ]
    return [first, "It is the only setting that was measured."]


def _tie(best: Verdict, others: list[Verdict]) -> list[str]:
    names = [named(short(one.cell)) for one in others[:2]]
    more = f" and {len(others) - 2} more" if len(others) > 2 else ""
    between: list[str] = (
        [names[0]] if len(names) == 1 else [names[0], ", " if more else " and ", names[1]]
    )
    verb = "is" if len(others) == 1 else "are"
    connections = best.cell.median("connections_peak")
    if best.cell.store == "sqlite":
        choice = "of these it needs no database server"
    elif connections is not None:
        choice = f"of these it asks least of the database, {number(connections)} connections"
    else:
        choice = "of these it sends the fewest events and takes the least memory"
    return [*between, f"{more} {verb} as fast within the spread of the rounds; {choice}."]


def _outlawed(ranking: Ranking, best: Verdict) -> str:
    """What the bounds cost: how much faster the fastest would be that breaks one."""
    faster = [one for one in ranking.missed if one.makespan < best.makespan]
    if not faster:
        return ""
    first = min(faster, key=lambda one: one.makespan)
    check = max(first.checks, key=lambda one: one.excess)
    ratio = number(first.makespan / best.makespan)
    shown = "unmeasured" if check.worst is None else number(check.worst)
    return f"; the fastest outside the bounds takes {ratio} × its time, at {shown} {check.what}"


def _shortfall(nearest: Verdict, count: int) -> list[str]:
    broken = [_broken(check) for check in nearest.checks if check.excess]
    settings = "the only setting" if count == 1 else f"the nearest of {count} settings"
    return [
        named(short(nearest.cell)),
        f" ({_STORES[nearest.cell.store]}) is {settings}: ",
        f"its worst round reached {_listed(broken)}. ",
        f"Its makespan is {_makespan(nearest.cell)}; loosen the bound or measure a tighter limit.",
    ]


def _broken(check: Check) -> str:
    if check.worst is None:
        return f"an unknown number of {check.what} (it was not measured)"
    return (
        f"{number(check.worst)} {check.what}, {number(check.worst - check.bound)} over the bound "
        f"of {number(check.bound)} ({check.excess:.0%})"
    )


def _makespan(cell: CellResults) -> str:
    low, high = cell.spread("makespan") or (0.0, 0.0)
    middle = quantity(cell.median("makespan") or 0.0, "s")
    return f"{middle} {interval(low, high)}" if len(cell.rounds) > 1 else middle


def _notes(workload: WorkloadFacts, ranking: Ranking) -> list[Markup]:
    notes: list[str] = []
    if ranking.nearest is not None and len(ranking.nearest.cell.rounds) < 4:
        count = len(ranking.nearest.cell.rounds)
        rounds = "One round" if count == 1 else f"{count} rounds"
        notes.append(f"{rounds} a cell: too few to tell a small difference from chance.")
    if workload.speed != 1:
        notes.append(
            f"Measured with latencies divided by {number(workload.speed)}: work that takes hours "
            f"in earnest took minutes, so connections and events crowd more here than at speed 1. "
            f"Bounds on them are judged as measured, which is the careful side."
        )
    if ranking.constraints.rpm is not None and workload.rpm is None:
        notes.append(
            "The provider was measured without a quota: requests a minute are the mean rate of "
            "calls, at speed 1; its first minute may hold more."
        )
    if unjudged(ranking.constraints, workload):
        notes.append(
            "The bound on tokens a minute is not judged: the workload had no such quota, and "
            "tokens are not among the figures. Measure with that quota to see what it costs."
        )
    return [el("p", note, class_="note") for note in notes]


def _row(one: Verdict, ranking: Ranking, axis: Axis, place: str) -> Markup:
    cell = one.cell
    low, high = cell.spread("makespan") or (0.0, 0.0)
    ratios = ranking.ratios.get(cell.name)
    chosen = one is ranking.recommended
    mark = ""
    if chosen:
        mark = "recommended"
    elif any(one is tied for tied in ranking.tied):
        mark = "tied"
    return el(
        "tr",
        el("td", place, class_="place"),
        el(
            "th",
            named(clipped(cell.name, 200)),
            *([el("small", mark)] if mark else []),
            scope="row",
        ),
        el("td", number(one.makespan), el("small", interval(low, high))),
        el("td", strip(axis, low, one.makespan, high), class_="strip"),
        el("td", number(median(ratios)) if ratios else "–"),
        el("td", _highest(cell, "connections_peak")),
        el("td", _highest(cell, "events_peak")),
        el(
            "td",
            "; ".join(_broken(check) for check in one.checks if check.excess) or "kept",
            class_="bounds",
        ),
        class_="chosen" if chosen else "missed" if one.excess else None,
    )


def _highest(cell: CellResults, figure: str) -> str:
    values = cell.values(figure)
    return number(max(values)) if values else "–"


def _aside(ranking: Ranking) -> list[Markup]:
    embedded = [cell for cell in ranking.aside if not cell.contestant]
    if not embedded:
        return []
    names = [part for cell in embedded for part in (", ", named(short(cell)))][1:]
    return [
        el(
            "p",
            "Not ranked, for a bound on connections speaks of a database server and these "
            "use SQLite: ",
            *names,
            ".",
            class_="note",
        )
    ]


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
