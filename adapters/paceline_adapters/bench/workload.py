"""The workload of each round: roadmaps, latencies of calls, and the provider's quota."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paceline import Roadmap, SettingsError, parse_roadmap
from paceline.text import count
from paceline.validation import describe
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline_adapters.bench.results import WorkloadFacts
from paceline_adapters.demo.command import example_roadmaps
from paceline_adapters.simulator.latency import DEFAULT_LATENCY, DEFAULT_STEP, parse_range

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Workload:
    """The work of a round; the same seed makes the same work.

    Attributes:
        speed: factor by which latencies are divided.
        latency: seconds at speed 1 by step, low and high.
        rpm: the provider's limit of requests per minute, at speed 1 like the latencies.
        tpm: the provider's limit of tokens per minute, at speed 1.
        concurrency: the provider's limit of calls at once.
    """

    name: str
    roadmaps: Sequence[Roadmap]
    seed: int = 42
    speed: float = 20.0
    latency: Mapping[str, Range] = field(default_factory=dict[str, Range])
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None

    @property
    def window(self) -> float:
        """Length of the provider's minute, in seconds of real time."""
        return 60.0 / self.speed

    @property
    def concepts(self) -> int:
        """Number of concepts of all roadmaps."""
        return sum(roadmap.concept_count() for roadmap in self.roadmaps)

    def facts(self) -> WorkloadFacts:
        """The workload as the results describe it."""
        ranges = {name: tuple(DEFAULT_LATENCY[name]) for name in DEFAULT_LATENCY}
        ranges |= dict(self.latency)
        return WorkloadFacts(
            name=self.name,
            seed=self.seed,
            speed=self.speed,
            roadmaps={roadmap.title: roadmap.concept_count() for roadmap in self.roadmaps},
            latency={k: list(v) for k, v in ranges.items() if k != DEFAULT_STEP},
            rpm=self.rpm,
            tpm=self.tpm,
            concurrency=self.concurrency,
        )

    def simulator_options(self) -> list[str]:
        """The arguments of ``paceline simulator``."""
        options = ["--seed", str(self.seed), "--speed", f"{self.speed:g}"]
        options += ["--quota-window", str(self.window)]
        for step, (low, high) in self.latency.items():
            options += ["--latency", f"{step}={low:g}-{high:g}"]
        quota = {"--rpm": self.rpm, "--tpm": self.tpm, "--max-concurrency": self.concurrency}
        for name, value in quota.items():
            if value is not None:
                options += [name, str(value)]
        return options

    def write(self, folder: Path) -> list[Path]:
        """Write the roadmaps as files; returns their paths."""
        paths: list[Path] = []
        for number, roadmap in enumerate(self.roadmaps):
            path = folder / f"{number:04d}.json"
            path.write_text(roadmap.model_dump_json())
            paths.append(path)
        return paths


class WorkloadFile(BaseModel):
    """A workload in a TOML file; command line options override it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str | None = None
    """Name in the report."""
    files: list[Path] = Field(default_factory=list[Path])
    """Roadmap files, relative to this one."""
    roadmaps: int | None = Field(default=None, ge=1, le=10_000)
    """Number of synthetic roadmaps, instead of files."""
    concepts: int | None = Field(default=None, ge=1, le=100_000)
    """Number of concepts of each synthetic roadmap."""
    latency: dict[str, str] = Field(default_factory=dict[str, str])
    """Seconds by step, as ``20-30``."""
    speed: float | None = Field(default=None, gt=0)
    """Factor by which latencies are divided."""
    seed: int | None = None
    """Seed of latencies and contents."""
    rpm: int | None = Field(default=None, ge=1)
    """The provider's limit of requests per minute."""
    tpm: int | None = Field(default=None, ge=1)
    """The provider's limit of tokens per minute."""

    @classmethod
    def read(cls, path: Path) -> "WorkloadFile":
        """Read a file.

        Raises:
            SettingsError: it cannot be read, or a key or value is wrong.
        """
        try:
            data = tomllib.loads(path.read_text("utf-8-sig"))
            found = cls.model_validate(data)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: not a workload file: {error}") from None
        except ValidationError as error:
            raise SettingsError(f"{path}: {'; '.join(describe(error))}") from None
        here = path.parent
        return found.model_copy(update={"files": [here / file for file in found.files]})


def parse_latencies(texts: Mapping[str, str]) -> dict[str, Range]:
    """Ranges by step, from texts like ``20-30``.

    Raises:
        SettingsError: a text is not a range.
    """
    found: dict[str, Range] = {}
    for step, text in texts.items():
        try:
            low, high = parse_range(text)
        except ValueError as error:
            raise SettingsError(f"latency of {step}: {error}") from None
        found[step] = (low, high)
    return found


def examples() -> Workload:
    """The eight roadmaps of the package, with 227 concepts."""
    return Workload("the eight example roadmaps, 227 concepts", example_roadmaps())


def synthetic(roadmaps: int, concepts: int) -> Workload:
    """Synthetic roadmaps with this number of concepts each."""
    name = f"{count(roadmaps, 'synthetic roadmap')} of {count(concepts, 'concept')}"
    return Workload(
        name, [_synthetic_roadmap(number, concepts) for number in range(1, roadmaps + 1)]
    )


def from_files(roadmaps: Sequence[Roadmap]) -> Workload:
    """Roadmaps of the user."""
    concepts = count(sum(roadmap.concept_count() for roadmap in roadmaps), "concept")
    return Workload(f"{count(len(roadmaps), 'own roadmap')}, {concepts}", roadmaps)


def warm_up() -> Roadmap:
    """A roadmap of one concept, generated before the measurement."""
    return _synthetic_roadmap(0, 1)


def scaled(workload: Workload, **changes: Any) -> Workload:
    """The workload with changes; ``None`` leaves a field as it is."""
    return replace(workload, **{key: value for key, value in changes.items() if value is not None})


def _synthetic_roadmap(number: int, concepts: int) -> Roadmap:
    document: dict[str, Any] = {
        "roadmap_id": f"synthetic-{number}",
        "title": f"Synthetic roadmap {number}",
        "stages": [
            {
                "stage_id": "s1",
                "name": "Stage",
                "order": 1,
                "modules": [
                    {
                        "module_id": "m1",
                        "name": "Module",
                        "concepts": [
                            {"concept_id": f"c{one}", "name": f"Concept {one}"}
                            for one in range(1, concepts + 1)
                        ],
                    }
                ],
            }
        ],
    }
    return parse_roadmap(json.loads(json.dumps(document)), source=f"synthetic roadmap {number}")
