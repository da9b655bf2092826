"""The command."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

import click

from benchmarks.verdicts import layers, memory, prefetch, processes, semaphore
from benchmarks.verdicts.verdict import Verdict

#: By name: the function that measures it, and the default number of rounds.
MEASURED: dict[str, tuple[Callable[[int], Iterator[Verdict]], int]] = {
    "layers": (layers.verdicts, 2),
    "prefetch": (prefetch.verdicts, 3),
    "halves": (processes.halves, 4),
    "fan-out": (processes.fan_out, 3),
    "memory": (memory.verdicts, 3),
    "semaphore": (semaphore.verdicts, 3),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MEASURED)))
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each cell.  [default: 2 to 4]")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def main(*, names: tuple[str, ...], rounds: int | None, as_json: bool) -> None:
    """Check claims about concurrency in Celery and asyncio by measurement."""
    found: list[Verdict] = []
    for name in names or MEASURED:
        measure, default_rounds = MEASURED[name]
        sys.stderr.write(f"{name}\n")
        for verdict in measure(rounds or default_rounds):
            found.append(verdict)
            if not as_json:
                click.echo(_text(verdict))
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in found], indent=1))


def _text(verdict: Verdict) -> str:
    rows = [f"| {title} | {value} |" for title, value in verdict.figures.items()]
    table = "\n".join(["| figure | measured |", "| --- | --- |", *rows])
    return f"## {verdict.claim}\n\n**{verdict.verdict.capitalize()}.**\n\n{table}\n"


if __name__ == "__main__":
    main()
