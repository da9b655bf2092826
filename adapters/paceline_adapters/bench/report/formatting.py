"""Formats figures, names and lists for the report."""

from collections.abc import Sequence

from paceline_adapters.bench.figures import Figure
from paceline_adapters.bench.quantiles import MIN_FOR_QUARTILES
from paceline_adapters.bench.results import CellResults

#: Between groups of three digits, and between a value and its unit.
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"


_STORE_TITLES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def number(value: float) -> str:
    """At most three significant digits: ``0.004``, ``1.25``, ``12.5``, ``1 250``."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 99.95 or value == int(value):
        return f"{value:,.0f}".replace(",", NARROW_SPACE)
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.01:
        return f"{value:.2f}"
    return f"{value:.1g}"


def ratio(value: float) -> str:
    """A ratio with two decimals, also for whole numbers."""
    return f"{value:.2f}" if value < 9.995 else number(value)


def quantity(value: float, unit: str) -> str:
    """A value with its unit."""
    return (
        f"{number(value)}{NARROW_SPACE}{unit}"
        if unit and unit[0] != "/"
        else f"{number(value)}{unit}"
    )


def interval(low: float, high: float) -> str:
    """An interval: quartiles, or lowest and highest."""
    return f"[{number(low)}–{number(high)}]"


def heading(figure: Figure) -> str:
    """A figure's title with its unit."""
    return f"{figure.title}, {figure.unit}" if figure.unit else figure.title


def short(cell: CellResults) -> str:
    """A cell's name without its store."""
    return (
        f"{cell.contestant} (by hand)" if cell.contestant else f"{cell.strategy} / {cell.executor}"
    )


def store_title(cell: CellResults) -> str:
    """The display name of a cell's store."""
    return title_of_store(cell.store)


def title_of_store(store: str) -> str:
    """The display name of a store; a plugin's is as the user wrote it."""
    return _STORE_TITLES.get(store, store)


def stores_of(cells: Sequence[CellResults]) -> list[str]:
    """The stores of some cells, PostgreSQL first."""
    found = {cell.store: None for cell in cells}
    return [*(one for one in _STORE_TITLES if one in found), *(found.keys() - _STORE_TITLES)]


def clipped(name: str, length: int) -> str:
    """A name, shortened to a maximum length."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def spread_text(cell: CellResults, figure: str, unit: str) -> str:
    """The tooltip of a table cell: the spread over the rounds."""
    values, spread = cell.values(figure), cell.spread(figure)
    if spread is None:
        return "not measured for this cell"
    if len(values) == 1:
        return "one round, so there is no spread"
    kind = "quartiles" if len(values) >= MIN_FOR_QUARTILES else "lowest and highest"
    low, high = (quantity(end, unit) for end in spread)
    return f"median of {len(values)} rounds, {kind} {low} to {high}"


def listed(parts: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
