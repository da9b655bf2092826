"""The page of ``paceline plan --html``: forecasts side by side, in the style of the report."""

from collections.abc import Callable, Sequence
from importlib import resources
from math import sqrt
from string import Template

from paceline.client.terminal.forecast_table import mark, money, number
from paceline.client.terminal.output import duration
from paceline.planning.alternatives import Choice, Constraints, Recommendation
from paceline.planning.forecast import Forecast, Range

from paceline_adapters.bench.report.axis import Axis
from paceline_adapters.bench.report.html import Markup, el, join, named

#: Size of the picture, and the smallest and largest radius of a point, in pixels.
_WIDTH, _HEIGHT, _SMALL, _LARGE = 760, 420, 4.0, 14.0
_TEMPLATES = resources.files("paceline_adapters.bench.report") / "templates"


def forecast_page(
    choices: Sequence[Choice],
    front: Sequence[Choice],
    best: Recommendation | None,
    constraints: Constraints,
) -> str:
    """The forecasts of at least one setting as one HTML document without external files."""
    body = join(
        _masthead(choices[0].forecast, len(choices)),
        el(
            "main",
            _recommended(best),
            _compared(choices, front),
            _table(choices, front, best, constraints),
            _basis(choices),
        ),
    )
    files = {name: (_TEMPLATES / f"page.{name}").read_text("utf-8") for name in ("css", "js")}
    return Template((_TEMPLATES / "page.html").read_text("utf-8")).substitute(
        title="paceline forecast", style=files["css"], script=files["js"], body=body
    )


def _masthead(found: Forecast, settings: int) -> Markup:
    work = f"{found.concepts:,} concepts in {len(found.roadmaps)} roadmaps"
    note = f"{work}, {settings} settings, {found.draws} draws each, seed {found.seed}"
    theme = el("button", "Theme: system", type="button", id="theme", class_="js")
    return el(
        "header",
        el("div", el("h1", "What would a run take?"), theme, class_="top"),
        el("p", note, class_="note"),
    )


def _recommended(best: Recommendation | None) -> Markup:
    if best is None:
        title = el("h2", "No setting keeps the constraints.")
        return el("section", title, id="recommendation")
    figure = el(
        "figure",
        el("figcaption", "Recommended settings, as paceline.toml"),
        el("pre", el("code", best.snippet), tabindex="0"),
        class_="snippet",
    )
    return el(
        "section",
        el("h2", "Use ", el("code", named(_name(best.choice))), "."),
        el("p", f"It is {best.reason}.", class_="why"),
        figure,
        id="recommendation",
    )


def _compared(choices: Sequence[Choice], front: Sequence[Choice]) -> Markup:
    load = _load(choices)
    priced = any(one.forecast.cost is not None for one in choices)
    note = (
        f"Each point is a setting, at the medians of its draws: lower and further left is better. "
        f"{'The larger a point, the higher its cost. ' if priced else 'No cost is known. '}"
        "Pale points are not on the Pareto front: another setting is at least as good in time, "
        f"cost and {load}, and better in one of them. The table has the same figures."
    )
    return el(
        "section",
        el("h2", f"Time, cost and {load}"),
        el("p", note, class_="note"),
        el("div", _picture(choices, front), class_="wide", tabindex="0"),
        id="picture",
    )


def _picture(choices: Sequence[Choice], front: Sequence[Choice]) -> Markup:
    x = Axis.around([one.forecast.makespan.median for one in choices], 60, _WIDTH - 20)
    y = Axis.around([one.load for one in choices], _HEIGHT - 50, 24)
    dearest = max(one.price for one in choices)
    grid: list[str] = []
    for value in x.ticks(6):
        grid.append(_line(x.at(value), 24, x.at(value), _HEIGHT - 50))
        grid.append(_label(x.at(value), _HEIGHT - 32, duration(value), "middle"))
    for value in y.ticks(6):
        grid.append(_line(60, y.at(value), _WIDTH - 20, y.at(value)))
        grid.append(_label(52, y.at(value) + 4, number(value), "end"))
    points: list[str] = []
    # Those of the front come last, so that no other point covers them.
    for place, one in sorted(enumerate(choices), key=lambda pair: pair[1] in front):
        left, top = x.at(one.forecast.makespan.median), y.at(one.load)
        share = one.price / dearest if dearest else 0.0
        radius = round(sqrt(_SMALL**2 + share * (_LARGE**2 - _SMALL**2)), 1)
        points += [
            el(
                "circle",
                el("title", f"{mark(place)}: {_name(one)}, {_sentence(one)}"),
                cx=left,
                cy=top,
                r=radius,
                class_="dot" if one in front else "pale",
            ),
            _label(left + radius + 3, top + 4, mark(place), "start", "label"),
        ]
    titles = [
        _label((_WIDTH + 40) / 2, _HEIGHT - 8, "time until the last roadmap ends", "middle"),
        _label(4, 14, _load(choices), "start"),
    ]
    return el(
        "svg",
        *grid,
        *points,
        *titles,
        width=_WIDTH,
        height=_HEIGHT,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{len(choices)} settings by time and {_load(choices)}",
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="grid")


def _label(x: float, y: float, words: str, anchor: str, class_: str | None = None) -> Markup:
    return el("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def _table(
    choices: Sequence[Choice],
    front: Sequence[Choice],
    best: Recommendation | None,
    constraints: Constraints,
) -> Markup:
    titles = ["", "Settings", "Time", "Cost", "Calls in flight", "Refused", "DB connections", ""]
    head = el("tr", *(el("th", title, scope="col") for title in titles))
    rows: list[str] = []
    for place, one in enumerate(choices):
        found, chosen = one.forecast, best is not None and one is best.choice
        remarks = [*(["recommended"] if chosen else constraints.broken_by(found))]
        remarks += ["Pareto front"] if one in front else []
        rows.append(
            el(
                "tr",
                el("td", mark(place)),
                el("th", named(_name(one)), scope="row"),
                _cell(found.makespan, duration),
                el("td", "unknown", class_="none")
                if found.cost is None
                else _cell(found.cost, money(found.currency)),
                _cell(found.calls_peak, number),
                _cell(found.refusals, number),
                el("td", "–", class_="none")
                if found.connections_peak is None
                else _cell(found.connections_peak, number),
                el("td", ", ".join(remarks)),
                class_="chosen" if chosen else None,
            )
        )
    caption = el("caption", "Medians of all draws, and the range of 8 in 10 of them")
    table = el("table", caption, el("thead", head), el("tbody", *rows))
    return el(
        "section",
        el("h2", "All settings"),
        el("div", table, class_="wide", tabindex="0"),
        id="figures",
    )


def _cell(found: Range, words: Callable[[float], str]) -> Markup:
    spread = f"{words(found.p10)} – {words(found.p90)}"
    return el("td", words(found.median), el("small", spread))


def _basis(choices: Sequence[Choice]) -> Markup:
    used = dict.fromkeys(source for one in choices for source in one.forecast.sources)
    unknown = dict.fromkeys(what for one in choices for what in one.forecast.unknown)
    left_out = ["content that exists already: it counts as missing", *unknown]
    return el(
        "section",
        el("h2", "What the forecasts rest on"),
        el("ul", *(el("li", one) for one in used)),
        el("h2", "What they do not know"),
        el("ul", *(el("li", one) for one in left_out)),
        id="limits",
    )


def _load(choices: Sequence[Choice]) -> str:
    server = choices[0].forecast.connections_peak is not None
    return "database connections" if server else "calls in flight"


def _name(choice: Choice) -> str:
    return choice.alternative.name.removeprefix("strategy=")


def _sentence(choice: Choice) -> str:
    found = choice.forecast
    cost = "cost unknown" if found.cost is None else money(found.currency)(found.cost.median)
    load = "connections" if found.connections_peak is not None else "calls in flight"
    return f"{duration(found.makespan.median)}, {cost}, {number(choice.load)} {load}"
