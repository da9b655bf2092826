"""The figures of a cell: name, unit, meaning, and whether lower or higher is better."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

Group = Literal["throughput", "database", "events", "layers"]
Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One value that is measured in each round.

    Attributes:
        group: section of the report.
        title: heading in tables.
        unit: unit of the value; empty for counts.
        better: whether lower or higher is better.
        meaning: definition and source, in one sentence.
    """

    group: Group
    title: str
    unit: str
    better: Better
    meaning: str


#: By the name in results, CSV files and ``extra_info``. A round has the figures that can be
#: measured: SQLite has no server connections, and a hand-written script publishes no events.
FIGURES: Mapping[str, Figure] = TypeAdapter(dict[str, Figure]).validate_python(
    tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
)
