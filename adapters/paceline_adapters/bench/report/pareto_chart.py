"""A chart of makespan against database connections, with the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from paceline_adapters.bench.report.axis import Axis
from paceline_adapters.bench.report.formatting import clipped, number, short
from paceline_adapters.bench.report.html import Markup, el, named
from paceline_adapters.bench.report.ranking import Ranking, pareto
from paceline_adapters.bench.results import CellResults, Results

#: Width of a letter and height of a line of 12 px text, with a margin.
_LETTER, _LINE = 7.0, 15.0
_MAX_LABEL = 60


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that a text or a mark covers."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the rectangles have a point in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell in the chart."""

    cell: CellResults
    connections: float
    makespan: float


def pareto_chart(results: Results, ranking: Ranking) -> Markup:
    """The section: one chart for wide pages, one for narrow ones, and a list."""
    title = el("h2", "Makespan and database connections")
    marks = _marks(results)
    if not marks:
        text = "No cell was measured on a database server, so there are no connections to compare."
        return el("section", title, el("p", text, class_="note"), id="pareto")
    best = sorted(
        pareto([m for m in marks if not m.cell.contestant], lambda m: (m.connections, m.makespan)),
        key=lambda mark: (mark.connections, mark.makespan, mark.cell.name),
    )
    chosen = ranking.recommended and ranking.recommended.cell.name
    rows = [
        el(
            "li",
            named(short(mark.cell)),
            el("small", f"{number(mark.makespan)} s with {number(mark.connections)} connections"),
            class_="chosen" if mark.cell.name == chosen else None,
        )
        for mark in best
    ]
    note = (
        "Each point is a cell on PostgreSQL, at the medians of its rounds. Lower and further left "
        "is better. The line is the Pareto front: no other setting is better in both figures. "
        "Pale points are not on the front. Rings are hand-written programs. SQLite has no server "
        "connections and is not shown."
    )
    pictures = [
        el("div", _picture(marks, best, 1040, 420, names=True), class_="only-wide"),
        el("div", _picture(marks, best, 350, 320, names=False), class_="only-narrow"),
    ]
    return el(
        "section",
        title,
        el("p", note, class_="note"),
        *pictures,
        el("ol", *rows, class_="pareto"),
        id="pareto",
    )


def place_labels(
    points: Sequence[tuple[float, float, str]], obstacles: Sequence[Box], within: Box
) -> list[Box | None]:
    """Positions of labels next to their points, without overlaps.

    Args:
        points: x, y and label, most important first.
        obstacles: areas that labels must not cover.
        within: area that labels must stay in.

    Returns:
        One box per label; ``None`` if there is no free position.
    """
    placed: list[Box] = []
    found: list[Box | None] = []
    for x, y, label in points:
        width = len(label) * _LETTER
        free = next(
            (
                box
                for box in _beside(x, y, width)
                if box.left >= within.left
                and box.right <= within.right
                and box.top >= within.top
                and box.bottom <= within.bottom
                and not any(box.overlaps(other) for other in (*placed, *obstacles))
            ),
            None,
        )
        found.append(free)
        if free is not None:
            placed.append(free)
    return found


def _beside(x: float, y: float, width: float) -> list[Box]:
    spots = [
        (left, y - _LINE / 2 + down)
        for down in (0.0, -_LINE, _LINE, -2 * _LINE, 2 * _LINE)
        for left in (x + 10, x - 10 - width, x - width / 2)
        if down or left != x - width / 2
    ]
    return [Box(left, top, left + width, top + _LINE) for left, top in spots]


def _marks(results: Results) -> list[Mark]:
    return [
        Mark(cell, connections, makespan)
        for cell in results.cells
        if (connections := cell.median("connections_peak")) is not None
        and (makespan := cell.median("makespan")) is not None
    ]


def _picture(
    marks: Sequence[Mark], best: Sequence[Mark], width: int, height: int, *, names: bool
) -> Markup:
    x = Axis.around([mark.connections for mark in marks], 52, width - 12)
    y = Axis.around([mark.makespan for mark in marks], height - 40, 24)
    spots = {id(mark): (x.at(mark.connections), y.at(mark.makespan)) for mark in marks}
    on_front = {id(mark) for mark in best}
    dots = [
        el(
            "circle",
            el(
                "title",
                f"{mark.cell.name}: {number(mark.makespan)} s, "
                f"{number(mark.connections)} connections",
            ),
            cx=spots[id(mark)][0],
            cy=spots[id(mark)][1],
            r=5 if id(mark) in on_front else 4,
            class_=_kind(mark, on_front),
        )
        for mark in sorted(marks, key=lambda mark: id(mark) in on_front)
    ]
    label = f"Makespan against connections: {len(best)} of {len(marks)} cells are on the front"
    return el(
        "svg",
        *_axes(x, y, width, height),
        el("path", d=_stairs([spots[id(mark)] for mark in best], x.end, y.end), class_="stairs"),
        *dots,
        *_labels(marks, best, spots, Box(52, 0, width, height - 40), names=names),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=label,
    )


def _kind(mark: Mark, on_front: set[int]) -> str:
    if mark.cell.contestant:
        return "hollow"
    return "dot" if id(mark) in on_front else "pale"


def _stairs(spots: Sequence[tuple[float, float]], right: float, top: float) -> str:
    """The line of the front: from above the first point to beyond the last."""
    first_x, _ = spots[0]
    steps = "".join(f"V{y}H{x}" for (_, y), (x, _) in pairwise(spots))
    return f"M{first_x},{top}{steps}V{spots[-1][1]}H{right}"


def _edge(spots: Sequence[tuple[float, float]]) -> list[Box]:
    """Areas that the line between the points covers; labels must not cover it."""
    return [
        box
        for (x, y), (next_x, next_y) in pairwise(spots)
        for box in (Box(x, y - 1, next_x, y + 1), Box(next_x - 1, y, next_x + 1, next_y))
    ]


def _labels(
    marks: Sequence[Mark],
    best: Sequence[Mark],
    spots: dict[int, tuple[float, float]],
    within: Box,
    *,
    names: bool,
) -> list[Markup]:
    wanted = [(mark, f"{number}") for number, mark in enumerate(best, start=1)]
    if names:
        wanted = [(m, f"{label} {clipped(short(m.cell), _MAX_LABEL)}") for m, label in wanted]
        wanted += [(m, clipped(short(m.cell), _MAX_LABEL)) for m in marks if m.cell.contestant]
    obstacles = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in spots.values()]
    obstacles += _edge([spots[id(mark)] for mark in best])
    boxes = place_labels([(*spots[id(mark)], label) for mark, label in wanted], obstacles, within)
    return [
        el(
            "text",
            label,
            x=round(box.left + 2, 1),
            y=round(box.bottom - 4, 1),
            class_="by-hand" if mark.cell.contestant else "label",
        )
        for (mark, label), box in zip(wanted, boxes, strict=True)
        if box is not None
    ]


def _axes(x: Axis, y: Axis, width: int, height: int) -> list[Markup]:
    bottom = height - 40
    parts = [el("line", x1=52, x2=width - 12, y1=bottom, y2=bottom, class_="axis")]
    for value in x.ticks(8 if width > 500 else 4):
        parts += [
            el("line", x1=x.at(value), x2=x.at(value), y1=bottom, y2=bottom + 4, class_="axis"),
            el("text", number(value), x=x.at(value), y=bottom + 18, text_anchor="middle"),
        ]
    for value in y.ticks(6):
        parts += [
            el("line", x1=52, x2=width - 12, y1=y.at(value), y2=y.at(value), class_="grid"),
            el("text", number(value), x=46, y=y.at(value) + 4, text_anchor="end"),
        ]
    return [
        *parts,
        el("text", "Makespan, s", x=2, y=12),
        el("text", "Peak of connections", x=width - 12, y=height - 4, text_anchor="end"),
    ]
