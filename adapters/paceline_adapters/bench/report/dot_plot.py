"""A median with its quartiles, drawn on an axis that all rows of a table share."""

from paceline_adapters.bench.report.axis import Axis
from paceline_adapters.bench.report.html import Markup, el


def dot_plot(axis: Axis, low: float, middle: float, high: float, *, hollow: bool = False) -> Markup:
    """The plot; the table shows the same figures as text."""
    width, y = axis.end + axis.start, 8
    return el(
        "svg",
        el("line", x1=axis.start, x2=axis.end, y1=y, y2=y, class_="rail"),
        el("line", x1=axis.at(low), x2=axis.at(high), y1=y, y2=y, class_="range"),
        el("circle", cx=axis.at(middle), cy=y, r=3.5, class_="hollow" if hollow else "dot"),
        width=width,
        height=2 * y,
        viewBox=f"0 0 {width} {2 * y}",
        aria_hidden="true",
    )
