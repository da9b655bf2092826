"""The command line options of ``paceline bench``, and the benchmark that they describe."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from paceline import UsageError
from paceline.client.terminal.roadmap_files import read_roadmaps
from paceline.planning.stacks import Part
from paceline.planning.workload_file import WorkloadFile, parse_latencies
from pydantic import BaseModel, ConfigDict, Field

from paceline_adapters.bench.engine import Bench, RoundPlan
from paceline_adapters.bench.prepared_cells import (
    default_cells,
    find_contestants,
    prepare,
    prepare_contestants,
)
from paceline_adapters.bench.recorded_latencies import recorded_latencies
from paceline_adapters.bench.workload import (
    Workload,
    examples,
    from_files,
    scaled,
    synthetic,
)

#: Factor by which latencies are divided: by default, and with --quick.
SPEED, QUICK_SPEED = 20.0, 60.0


class BenchOptions(BaseModel):
    """The options that describe what is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: Sequence[Path] = ()
    strategies: Sequence[str] = ()
    executors: Sequence[str] = ()
    stores: Sequence[str] = ()
    workload: Path | None = None
    roadmaps: int | None = None
    concepts: int | None = None
    latency: Mapping[str, str] = Field(default_factory=dict[str, str])
    latencies_from: str | None = None
    speed: float | None = Field(default=None, gt=0, le=1000)
    seed: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    rounds: int | None = None
    warm_up: int | None = None
    quick: bool = False
    workers: int = 1
    contestants: Path | None = None

    def bench(self, *, arguments: Sequence[str] = (), results_file: Path | None = None) -> Bench:
        """Check the options; nothing is started yet. ``results_file`` is written each round.

        Raises:
            UsageError: an option is wrong; the text names it and what is allowed.
            PartUnavailable: the database with recorded latencies cannot be reached.
        """
        work = self._workload()
        cells = default_cells(self.strategies, self.executors, self.stores)
        prepared = prepare(cells, work, workers=self.workers)
        if self.contestants is not None:
            store = Part("sqlite" if set(self.stores) == {"sqlite"} else "postgresql")
            found = find_contestants(self.contestants, store)
            prepared += prepare_contestants(found, work, workers=self.workers)
        names = [one.cell.name for one in prepared]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise UsageError(f"each cell must be given once, got twice: {', '.join(duplicates)}")
        rounds = self.rounds or (2 if self.quick else 5)
        warm_up = self.warm_up if self.warm_up is not None else int(not self.quick)
        return Bench(
            cells=prepared,
            workload=work,
            plan=RoundPlan(rounds=rounds, warm_up=warm_up, seed=work.seed),
            command=shlex.join(["paceline", "bench", *arguments]),
            results_file=results_file,
        )

    def _workload(self) -> Workload:
        file = WorkloadFile() if self.workload is None else WorkloadFile.read(self.workload)
        roadmaps = self.roadmaps or file.roadmaps
        concepts = self.concepts or file.concepts
        files = [*self.files] or file.files
        if files and (self.roadmaps or self.concepts):
            raise UsageError("give either roadmap files, or --roadmaps and --concepts")
        if files:
            work = from_files(read_roadmaps(tuple(files)))
        elif roadmaps or concepts:
            work = synthetic(roadmaps or 8, concepts or 30)
        else:
            work = examples()
        latency = parse_latencies(file.latency)
        if self.latencies_from is not None:
            latency |= recorded_latencies(self.latencies_from)
        latency |= parse_latencies(self.latency)
        return scaled(
            work,
            name=file.name,
            latency=latency,
            speed=self.speed or file.speed or (QUICK_SPEED if self.quick else SPEED),
            seed=file.seed if self.seed is None else self.seed,
            rpm=self.rpm or file.rpm,
            tpm=self.tpm or file.tpm,
        )
