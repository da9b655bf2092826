"""The first section of the report: the recommended setting, and why."""

from collections.abc import Mapping
from statistics import median

from paceline_adapters.bench.quantiles import quartiles
from paceline_adapters.bench.report.formatting import (
    interval,
    listed,
    number,
    quantity,
    ratio,
    short,
    store_title,
)
from paceline_adapters.bench.report.html import Markup, el, join, named
from paceline_adapters.bench.report.preference import Preference
from paceline_adapters.bench.report.ranking import (
    Ranking,
    Verdict,
    token_bound_unchecked,
)
from paceline_adapters.bench.report.ranking_table import bound_text
from paceline_adapters.bench.report.reasons import reasons
from paceline_adapters.bench.report.snippet import snippet
from paceline_adapters.bench.results import CellResults, Results, WorkloadFacts


def recommendation(results: Results, ranking: Ranking) -> Markup:
    """The section."""
    best, nearest = ranking.recommended, ranking.nearest
    parts = [el("p", _goal(ranking), class_="goal")]
    if nearest is None:
        parts.append(el("h2", "No cell of paceline was measured, so there is no recommendation."))
        return el("section", *parts, id="recommendation")
    if best is None:
        parts.append(el("h2", "No measured setting meets all bounds."))
        parts.append(el("p", *_shortfall(nearest, len(ranking.missed)), class_="why"))
        label = "Closest setting, as paceline.toml"
    else:
        parts.append(el("h2", *_headline(ranking, best.cell)))
        parts.append(el("p", *_why(ranking, best), class_="why"))
        found = [el("li", reason) for reason in reasons(ranking)]
        parts += [el("ul", *found, class_="why")] if found else []
        label = "paceline.toml"
    code = el("pre", el("code", snippet(nearest.cell)), tabindex="0")
    copy = el("button", "Copy", type="button", class_="copy")
    figure = el("figure", el("figcaption", label, copy), code, class_="snippet")
    notes = _notes(results.workload, ranking)
    return el("section", *parts, figure, *notes, id="recommendation")


#: What each preference looks for first.
_GOALS: Mapping[Preference, str] = {
    "time": "the shortest makespan",
    "cost": "the lowest cost",
    "fairness": "the fairest share of small and large roadmaps",
}


def _goal(ranking: Ranking) -> Markup:
    constraints, goal = ranking.constraints, _GOALS[ranking.prefer]
    bounds = [
        (constraints.max_connections, "database connections"),
        (constraints.max_events, "progress events per second"),
        (constraints.rpm, "requests per minute"),
        (constraints.tpm, "tokens per minute"),
    ]
    given = [f"{number(bound)} {what}" for bound, what in bounds if bound is not None]
    return join(
        f"Goal: {goal} with at most {listed(given)}." if given else f"Goal: {goal}, without bounds."
    )


def _headline(ranking: Ranking, cell: CellResults) -> list[str]:
    others = len(ranking.tied) - 1
    tie = f"Tie of {len(ranking.tied)} settings. The first by name: use " if others else "Use "
    return [
        tie,
        _code(cell.strategy),
        " with ",
        _code(cell.executor),
        f" on {store_title(cell)}.",
    ]


def _code(name: str) -> Markup:
    return el("code", named(name))


def _why(ranking: Ranking, best: Verdict) -> list[str]:
    """The reason in two sentences, with figures."""
    cell = best.cell
    over = cell.median("over_bound")
    first = f"Its makespan is {_makespan(cell)}"
    if over is not None:
        first += f", {ratio(over)} × the lower bound"
    kept = [
        f"{number(check.worst or 0)} of {number(check.bound)} {check.what}" for check in best.checks
    ]
    first += f". Its worst round reached {listed(kept)}. " if kept else ". "
    if len(ranking.first) > 1:
        return [first.rstrip(". "), *_cost_of_bounds(ranking, best), "."]
    second = [one for one in ranking.met if one is not best]
    if second:
        ratios = ranking.ratios[second[0].cell.name]
        middle, (low, high) = ratio(median(ratios)), quartiles(ratios)
        return [
            first,
            "The next, ",
            _name(second[0].cell, cell),
            f", has {middle} × its makespan {interval(low, high)}",
            *_cost_of_bounds(ranking, best),
            ".",
        ]
    if ranking.missed:
        return [
            first,
            f"None of the other {len(ranking.missed)} settings meets all bounds",
            *_cost_of_bounds(ranking, best),
            ".",
        ]
    return [first, "No other setting was ranked."]


def _cost_of_bounds(ranking: Ranking, best: Verdict) -> list[str]:
    """What the bounds cost: how much faster the fastest setting outside them is."""
    faster = [one for one in ranking.missed if one.makespan < best.makespan]
    if not faster:
        return []
    first = min(faster, key=lambda one: one.makespan)
    check = max(first.checks, key=lambda one: one.excess)
    shown = "an unknown number of" if check.worst is None else number(check.worst)
    share = ratio(first.makespan / best.makespan)
    name = _name(first.cell, best.cell)
    return [
        ". Outside the bounds, ",
        name,
        f" takes {share} × the time of the recommended setting, with {shown} {check.what}",
    ]


def _name(cell: CellResults, other: CellResults) -> Markup:
    """A cell's name next to another cell; it includes the store if the stores differ."""
    return named(short(cell) if cell.store == other.store else cell.name)


def _shortfall(nearest: Verdict, count: int) -> list[str]:
    failures = [bound_text(check) for check in nearest.checks if check.excess]
    settings = "the only setting" if count == 1 else f"the closest of {count} settings"
    return [
        named(short(nearest.cell)),
        f" ({store_title(nearest.cell)}) is {settings}: ",
        f"its worst round reached {listed(failures)}. ",
        f"Its makespan is {_makespan(nearest.cell)}. Relax the bound or measure a tighter limit.",
    ]


def _makespan(cell: CellResults) -> str:
    low, high = cell.spread("makespan") or (0.0, 0.0)
    middle = quantity(cell.median("makespan") or 0.0, "s")
    return f"{middle} {interval(low, high)}" if len(cell.rounds) > 1 else middle


def _notes(workload: WorkloadFacts, ranking: Ranking) -> list[Markup]:
    notes: list[str] = []
    if ranking.nearest is not None and len(ranking.nearest.cell.rounds) < 4:
        count = len(ranking.nearest.cell.rounds)
        rounds = "One round" if count == 1 else f"{count} rounds"
        notes.append(f"{rounds} per cell: too few to distinguish a small difference from chance.")
    if workload.speed != 1:
        notes.append(
            f"Latencies were divided by {number(workload.speed)}, so there are more saves and "
            "events per second than in production. Bounds on connections and events are checked "
            "against the measured values, so the result is conservative."
        )
    if ranking.constraints.rpm is not None and workload.rpm is None:
        notes.append(
            "The provider had no quota. Requests per minute are the mean rate of calls at speed 1; "
            "the first minute may have more."
        )
    if token_bound_unchecked(ranking.constraints, workload):
        notes.append(
            "The bound on tokens per minute was not checked, because the workload had no such "
            "quota. Run the benchmark with --tpm to see its effect."
        )
    return [el("p", note, class_="note") for note in notes]
