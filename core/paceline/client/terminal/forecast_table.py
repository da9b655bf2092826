"""Forecasts on a terminal: one table, what they rest on, and what they leave out."""

from collections.abc import Callable, Sequence

import click

from paceline.client.terminal.output import duration, echo_table, table_of, terminal_safe
from paceline.planning.alternatives import Choice, Constraints, Recommendation
from paceline.planning.forecast import Forecast, Range
from paceline.text import count

#: Roadmaps that are listed; of more, only the last ones to end.
_ROADMAPS = 8
#: Size of the picture in characters.
_WIDTH, _HEIGHT = 56, 9
_MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def number(value: float) -> str:
    """A count, or a rate with one digit below ten."""
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def money(currency: str) -> Callable[[float], str]:
    """Amounts in a currency."""
    return lambda value: f"{value:,.2f} {currency}" if value >= 1 else f"{value:.4f} {currency}"


def print_forecast(found: Forecast) -> None:
    """Print a forecast."""
    click.echo(f"{count(found.concepts, 'concept')} with {terminal_safe(found.settings)}\n")
    rows = [_row("makespan", found.makespan, duration)]
    if found.cost is None:
        rows.append(["cost", "unknown: no price is set", ""])
    else:
        rows.append(_row("cost", found.cost, money(found.currency)))
    rows += [
        _row("calls", found.calls, number),
        _row("refusals", found.refusals, number),
        _row("calls in flight, peak", found.calls_peak, number),
        _row("events per second, peak", found.events_peak, number),
        _row("events per second, mean", found.events_mean, number),
    ]
    if found.connections_peak is not None and found.transactions is not None:
        rows.append(_row("DB connections, peak", found.connections_peak, number))
        rows.append(_row("DB transactions", found.transactions, number))
    if found.failed.p90 > 0:
        rows.append(_row("concepts that fail", found.failed, number))
    if len(found.roadmaps) > 1:
        last = sorted(found.roadmaps, key=lambda one: one.end.median)[-_ROADMAPS:]
        rows += [_row(f"end of {one.title[:34]}", one.end, duration) for one in last]
    echo_table(table_of(["", "median", "8 of 10 draws"], rows, right=["median", "8 of 10 draws"]))
    print_basis(found)


def print_basis(found: Forecast) -> None:
    """Print what a forecast rests on, and what it leaves out."""
    click.echo()
    for line in (f"{count(found.draws, 'draw')}, seed {found.seed}", *found.sources):
        click.echo(f"Used {terminal_safe(line)}." if ":" in line else f"{line}.")
    unknown = ["content that exists already", *found.unknown]
    click.echo(f"Left out: {terminal_safe('; '.join(unknown))}.")


def print_choices(choices: Sequence[Choice], constraints: Constraints, best: Choice | None) -> None:
    """Print a table of alternatives; the recommended one is marked."""
    rows: list[list[str]] = []
    for place, one in enumerate(choices):
        found = one.forecast
        cost = "?" if found.cost is None else money(found.currency)(found.cost.median)
        broken = ", ".join(constraints.broken_by(found))
        rows.append(
            [
                mark(place),
                one.alternative.name.removeprefix("strategy="),
                duration(found.makespan.median),
                f"{duration(found.makespan.p10)} – {duration(found.makespan.p90)}",
                cost,
                number(found.calls_peak.median),
                number(found.refusals.median),
                "–" if found.connections_peak is None else number(found.connections_peak.median),
                "recommended" if one is best else broken,
            ]
        )
    titles = ["", "settings", "median", "8 of 10 draws", "cost", "calls", "refused", "DB", ""]
    echo_table(table_of(titles, rows, right=titles[2:8]))


def mark(place: int) -> str:
    """The letter of an alternative in table and picture."""
    return _MARKS[place % len(_MARKS)] + (str(place // len(_MARKS)) if place >= len(_MARKS) else "")


def picture(choices: Sequence[Choice], front: Sequence[Choice]) -> str:
    """Time against load; the choices of the Pareto front are capital letters."""
    times = [one.forecast.makespan.median for one in choices]
    loads = [one.load for one in choices]
    rows = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for place, one in sorted(enumerate(choices), key=lambda pair: pair[1] in front):
        column = _scaled(one.forecast.makespan.median, times, _WIDTH)
        row = _HEIGHT - 1 - _scaled(one.load, loads, _HEIGHT)
        letter = mark(place)[0]
        rows[row][column] = letter if one in front else letter.lower()
    server = choices[0].forecast.connections_peak is not None
    lines = [f"{'DB connections' if server else 'calls in flight'} (capitals: Pareto front)"]
    for height, characters in enumerate(rows):
        label = {0: number(max(loads)), _HEIGHT - 1: number(min(loads))}.get(height, "")
        lines.append(f"{label:>6} |{''.join(characters).rstrip()}")
    left, right = duration(min(times)), duration(max(times))
    lines.append(" " * 7 + "+" + "-" * _WIDTH)
    lines.append(" " * 8 + left + right.rjust(_WIDTH - len(left)))
    return "\n".join(lines)


def print_recommendation(found: Recommendation | None) -> None:
    """Print the recommended settings and the reason."""
    if found is None:
        click.echo("No setting keeps the constraints.")
        return
    click.echo(f"Recommended: {found.reason}.\n")
    click.echo(terminal_safe(found.snippet))


def _scaled(value: float, values: Sequence[float], size: int) -> int:
    low, high = min(values), max(values)
    return 0 if high == low else round((value - low) / (high - low) * (size - 1))


def _row(title: str, found: Range, text: Callable[[float], str]) -> list[str]:
    return [title, text(found.median), f"{text(found.p10)} – {text(found.p90)}"]
