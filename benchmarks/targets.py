"""Targets of a benchmark and their report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click


@dataclass(frozen=True, slots=True)
class Target:
    """One bound for a measured value.

    Attributes:
        name: name of the value.
        value: the measured value.
        least: minimum of the value, if any.
        most: maximum of the value, if any.
    """

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the value lies within the bounds."""
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    def __str__(self) -> str:
        bound = f"at least {self.least:g}" if self.most is None else f"at most {self.most:g}"
        verdict = "met" if self.met else "MISSED"
        return f"{verdict:8} {self.name}: {self.value:.2f}, {bound}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A text table; the first column is left-aligned, the others right-aligned."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def conclude(
    targets: Sequence[Target], measured: Mapping[str, object], json_file: Path | None
) -> int:
    """Print the targets and write the file; returns the exit code, 1 if a target is missed."""
    click.echo()
    for target in targets:
        click.echo(str(target))
    if json_file is not None:
        verdicts = [{**asdict(target), "met": target.met} for target in targets]
        json_file.write_text(json.dumps({**measured, "targets": verdicts}, indent=2) + "\n")
    return 0 if all(target.met for target in targets) else 1
