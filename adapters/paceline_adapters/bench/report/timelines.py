"""Timelines of each cell, as small charts with common axes."""

from collections.abc import Sequence

from paceline_adapters.bench.cells import SERVED
from paceline_adapters.bench.report.formatting import number, short, store_title
from paceline_adapters.bench.report.html import Markup, el, named
from paceline_adapters.bench.report.ranking import Ranking
from paceline_adapters.bench.results import CellResults, Results, Timeline

_SERIES = {"concepts": "Concepts in flight", "connections": "DB connections", "events": "Events/s"}
_WIDTH, _PANEL, _STEP = 260, 44, 68
#: Maximum number of points of a line.
_POINTS = 120


def timelines(results: Results, ranking: Ranking) -> Markup:
    """The section, fastest cell first."""
    title = el("h2", "Timelines")
    shown = sorted(
        ((cell, line) for cell in results.cells if (line := _line(cell)) is not None),
        key=lambda pair: (pair[0].median("makespan") or 0.0, pair[0].name),
    )
    if not shown:
        return el("section", title, el("p", "No round has a timeline.", class_="note"), id="time")
    end = max(line.seconds[-1] for _, line in shown) or 1.0
    tops = {name: max(max(_values(line, name)) for _, line in shown) or 1.0 for name in _SERIES}
    chosen = ranking.recommended and ranking.recommended.cell.name
    figures = [
        el(
            "figure",
            el("figcaption", named(short(cell)), el("small", store_title(cell))),
            _multiple(line, end, tops, _unknown(cell)),
            class_="chosen" if cell.name == chosen else None,
        )
        for cell, line in shown
    ]
    note = (
        "One round of each cell: the one nearest to the median makespan. The fastest cell comes "
        "first. All charts have the same axes. The number at the right of a line is its peak. "
        "Connections are those to the database server, or to the SQLite file."
    )
    return el(
        "section",
        title,
        el("p", note, class_="note"),
        el("div", *figures, class_="multiples"),
        id="time",
    )


def thinned(
    seconds: Sequence[float], values: Sequence[float], end: float
) -> list[tuple[float, float]]:
    """At most ``_POINTS`` points from 0 to ``end``; each is the maximum of its interval."""
    highest: dict[int, float] = {}
    for second, value in zip(seconds, values, strict=True):
        bucket = min(_POINTS - 1, max(0, int(second / end * _POINTS)))
        highest[bucket] = max(value, highest.get(bucket, 0.0))
    return [(bucket / _POINTS, value) for bucket, value in sorted(highest.items())]


def _line(cell: CellResults) -> Timeline | None:
    """The timeline of the typical round, or of the first round that has one."""
    rounds = [cell.typical, *cell.rounds]
    return next((one.timeline for one in rounds if one.timeline and one.timeline.seconds), None)


def _unknown(cell: CellResults) -> set[str]:
    """Series that were not measured for this cell."""
    found = set[str]() if cell.values("events_total") else {"events"}
    return found if cell.store in SERVED else {*found, "connections"}


def _values(line: Timeline, name: str) -> list[float]:
    values: list[float] = getattr(line, name)
    return values


def _multiple(line: Timeline, end: float, tops: dict[str, float], unknown: set[str]) -> Markup:
    parts: list[Markup] = []
    descriptions: list[str] = []
    for row, (name, title) in enumerate(_SERIES.items()):
        base = row * _STEP + 20 + _PANEL
        values = _values(line, name)
        peak = "not measured" if name in unknown else number(max(values))
        descriptions.append(f"{title}: at most {peak}")
        parts += [
            el("text", title, x=0, y=base - _PANEL - 6),
            el("text", peak, x=_WIDTH, y=base - _PANEL - 6, text_anchor="end", class_="peak"),
            *(
                []
                if name in unknown
                else _curve(thinned(line.seconds, values, end), tops[name], base, name)
            ),
            el("line", x1=0, x2=_WIDTH, y1=base, y2=base, class_="axis"),
        ]
    bottom = (len(_SERIES) - 1) * _STEP + 20 + _PANEL
    descriptions.append(f"over {number(line.seconds[-1])} seconds")
    parts += [
        el("text", "0", x=0, y=bottom + 15),
        el("text", f"{number(end)} s", x=_WIDTH, y=bottom + 15, text_anchor="end"),
    ]
    return el(
        "svg",
        *parts,
        viewBox=f"-1 0 {_WIDTH + 2} {bottom + 20}",
        role="img",
        aria_label="; ".join(descriptions),
    )


def _curve(points: list[tuple[float, float]], top: float, base: int, name: str) -> list[Markup]:
    spots = [
        f"{round(share * _WIDTH, 1)},{round(base - value / top * _PANEL, 1)}"
        for share, value in points
    ]
    first = spots[0].partition(",")[0]
    path = "M" + "L".join(spots)
    return [
        el("path", d=f"{path}V{base}H{first}Z", class_=f"area {name}"),
        el("path", d=f"{path}V{base}", class_=f"curve {name}"),
    ]
