"""What the page opens with: the setting to take, and why."""

from statistics import median

from paceline_adapters.bench.report.html import Markup, el, join, named
from paceline_adapters.bench.report.ranked import broken
from paceline_adapters.bench.report.ranking import Constraints, Ranking, Verdict, burden, unjudged
from paceline_adapters.bench.report.snippet import snippet
from paceline_adapters.bench.report.words import (
    interval,
    listed,
    number,
    quantity,
    ratio,
    short,
    store_title,
)
from paceline_adapters.bench.results import CellResults, Results, WorkloadFacts
from paceline_adapters.bench.spread import quartiles


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


def _asked(constraints: Constraints) -> Markup:
    bounds = [
        (constraints.max_connections, "database connections"),
        (constraints.max_events, "progress events in a second"),
        (constraints.rpm, "requests a minute"),
        (constraints.tpm, "tokens a minute"),
    ]
    given = [f"{number(bound)} {what}" for bound, what in bounds if bound is not None]
    return join(
        "Asked for: the shortest makespan within at most " + listed(given) + "."
        if given
        else "Asked for: the shortest makespan, without bounds."
    )


def _headline(cell: CellResults) -> list[str]:
    return ["Use ", _code(cell.strategy), " on ", _code(cell.executor), f", {store_title(cell)}."]


def _code(name: str) -> Markup:
    return el("code", named(name))


def _why(ranking: Ranking, best: Verdict) -> list[str]:
    """Two sentences, with the figures."""
    cell = best.cell
    over = cell.median("over_bound")
    first = f"Its makespan is {_makespan(cell)}"
    if over is not None:
        first += f", {ratio(over)} × what the drawn latencies take at least"
    kept = [
        f"{number(check.worst or 0)} of {number(check.bound)} {check.what}" for check in best.checks
    ]
    first += f", and its worst round reached {listed(kept)}. " if kept else ". "
    others = [one for one in ranking.tied if one is not best]
    if others:
        return [first, *_tie(best, others), *_outlawed(ranking, best), "."]
    second = [one for one in ranking.met if one is not best]
    if second:
        ratios = ranking.ratios[second[0].cell.name]
        middle, (low, high) = ratio(median(ratios)), quartiles(ratios)
        return [
            first,
            "The next, ",
            _beside(second[0].cell, cell),
            f", takes {middle} × as long {interval(low, high)}",
            *_outlawed(ranking, best),
            ".",
        ]
    if ranking.missed:
        return [
            first,
            f"None of the other {len(ranking.missed)} settings keeps every bound",
            *_outlawed(ranking, best),
            ".",
        ]
    return [first, "It is the only setting to rank."]


def _tie(best: Verdict, others: list[Verdict]) -> list[str]:
    names = [_beside(one.cell, best.cell) for one in others[:2]]
    more = [f"{len(others) - 2} more"] if len(others) > 2 else []
    parts = [*names, *more]
    between = [piece for part in parts[:-1] for piece in (part, ", ")][:-1]
    between = [*between, " and ", parts[-1]] if between else parts
    verb = "is" if len(others) == 1 else "are"
    choice = listed(_advantages(best.cell, [one.cell for one in others]))
    return ["Within the spread of the rounds ", *between, f" {verb} as fast; of these it {choice}"]


def _advantages(best: CellResults, others: list[CellResults]) -> list[str]:
    """Why one of several equally fast cells is taken, until nothing is left beside it."""
    mine, rivals = burden(best), [burden(cell) for cell in others]
    found: list[str] = []
    if any(rival.connections > mine.connections for rival in rivals):
        asked = f"asks least of the database ({number(mine.connections)} connections at its peak)"
        found.append(asked if best.store == "postgresql" else "needs no database server")
        rivals = [rival for rival in rivals if rival.connections == mine.connections]
    if any(rival.redis > mine.redis for rival in rivals):
        found.append("needs no Redis")
        rivals = [rival for rival in rivals if rival.redis == mine.redis]
    if any(rival.memory > mine.memory for rival in rivals):
        found.append(f"takes the least memory ({quantity(mine.memory, 'MiB')})")
        rivals = [rival for rival in rivals if rival.memory == mine.memory]
    return found if found and not rivals else [*found, "has the lowest median"]


def _outlawed(ranking: Ranking, best: Verdict) -> list[str]:
    """What the bounds cost: how much faster the fastest would be that breaks one."""
    faster = [one for one in ranking.missed if one.makespan < best.makespan]
    if not faster:
        return []
    first = min(faster, key=lambda one: one.makespan)
    check = max(first.checks, key=lambda one: one.excess)
    shown = "unmeasured" if check.worst is None else number(check.worst)
    share = ratio(first.makespan / best.makespan)
    name = _beside(first.cell, best.cell)
    return ["; outside the bounds, ", name, f" takes {share} × its time, at {shown} {check.what}"]


def _beside(cell: CellResults, other: CellResults) -> Markup:
    """A cell's name where another was just named: its store is said if it differs."""
    return named(short(cell) if cell.store == other.store else cell.name)


def _shortfall(nearest: Verdict, count: int) -> list[str]:
    failures = [broken(check) for check in nearest.checks if check.excess]
    settings = "the only setting" if count == 1 else f"the nearest of {count} settings"
    return [
        named(short(nearest.cell)),
        f" ({store_title(nearest.cell)}) is {settings}: ",
        f"its worst round reached {listed(failures)}. ",
        f"Its makespan is {_makespan(nearest.cell)}; loosen the bound or measure a tighter limit.",
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
        notes.append(f"{rounds} a cell: too few to tell a small difference from chance.")
    if workload.speed != 1:
        notes.append(
            f"Latencies were divided by {number(workload.speed)}, so saves and events crowd more "
            "than in earnest; bounds on connections and events are judged as measured, which is "
            "the careful side."
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
