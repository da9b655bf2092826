"""The workload of each round: roadmaps, latencies of calls, and the provider's quota."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paceline import Roadmap
from paceline.planning.workload_file import synthetic_roadmap
from paceline.text import count

from paceline_adapters.bench.results import WorkloadFacts
from paceline_adapters.demo.command import example_roadmaps
from paceline_adapters.simulator.latency import DEFAULT_LATENCY, DEFAULT_STEP

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


def examples() -> Workload:
    """The eight roadmaps of the package, with 227 concepts."""
    return Workload("the eight example roadmaps, 227 concepts", example_roadmaps())


def synthetic(roadmaps: int, concepts: int) -> Workload:
    """Synthetic roadmaps with this number of concepts each."""
    name = f"{count(roadmaps, 'synthetic roadmap')} of {count(concepts, 'concept')}"
    return Workload(
        name, [synthetic_roadmap(number, concepts) for number in range(1, roadmaps + 1)]
    )


def from_files(roadmaps: Sequence[Roadmap]) -> Workload:
    """Roadmaps of the user."""
    concepts = count(sum(roadmap.concept_count() for roadmap in roadmaps), "concept")
    return Workload(f"{count(len(roadmaps), 'own roadmap')}, {concepts}", roadmaps)


def warm_up() -> Roadmap:
    """A roadmap of one concept, generated before the measurement."""
    return synthetic_roadmap(0, 1)


def scaled(workload: Workload, **changes: Any) -> Workload:
    """The workload with changes; ``None`` leaves a field as it is."""
    return replace(workload, **{key: value for key, value in changes.items() if value is not None})
