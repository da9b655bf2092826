"""What a command costs before it does anything, compared with what it cannot do without.

    python -m benchmarks.start
    python -m benchmarks.start --pairs 21 --json start.json

Each figure is the processor time of a whole child process, from ``os.wait4``. The commands and what
they are compared with take turns, so that other load of the machine meets both sides of a ratio.
``status`` and ``show`` read an SQLite file with a current schema. The exit code is 1 if a target is
missed.

It does not show the time until the first byte of a file comes from a cold disk.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import click

from benchmarks.targets import Target, conclude, table

_RUN = (sys.executable, "-m", "paceline")
#: Contestants, as the arguments of their processes.
COMMANDS: Mapping[str, Sequence[str]] = {
    "python": (sys.executable, "-c", "pass"),
    "sqlalchemy": (sys.executable, "-c", "import sqlalchemy.ext.asyncio"),
    "--help": (*_RUN, "--help"),
    "status": (*_RUN, "status"),
    "show": (*_RUN, "show"),
}
#: Each command, what it is compared with, and the maximum of the median ratio.
RATIOS = (("--help", "python", 8.0), ("status", "sqlalchemy", 1.5), ("show", "sqlalchemy", 1.5))


def processor_seconds(command: Sequence[str], folder: Path) -> float:
    """Processor time of a process and of the children that it waited for.

    Raises:
        ClickException: the process failed.
    """
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def measure(pairs: int, folder: Path) -> Mapping[str, Sequence[float]]:
    """Processor seconds of each contestant by round, after one round that is not counted."""
    subprocess.run([*_RUN, "db", "upgrade"], cwd=folder, check=True, capture_output=True)
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(pairs + 1):
        for name, command in COMMANDS.items():
            seconds = processor_seconds(command, folder)
            if turn:
                found[name].append(seconds)
    return found


@click.command()
@click.option("--pairs", default=9, show_default=True, help="Rounds of all contestants.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures here."
)
def main(*, pairs: int, json_file: Path | None) -> None:
    """Measure the start of commands; exits with 1 if a target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(pairs, Path(folder))
    rows = [(name, f"{median(values) * 1000:.0f}") for name, values in found.items()]
    click.echo(table(("", "CPU ms"), rows))
    targets = [
        Target(
            f"{name} ÷ {other}",
            median(a / b for a, b in zip(found[name], found[other], strict=True)),
            most=most,
        )
        for name, other, most in RATIOS
    ]
    sys.exit(conclude(targets, {"seconds": found}, json_file))


if __name__ == "__main__":
    main()
