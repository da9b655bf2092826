"""What was asked for on the command line, as a benchmark that is ready to run."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from paceline import UsageError
from paceline.client.terminal.roadmap_files import read_roadmaps
from pydantic import BaseModel, ConfigDict, Field

from paceline_adapters.bench.cells import StoreName
from paceline_adapters.bench.contests import (
    contestants,
    default_cells,
    prepare,
    prepare_contestants,
)
from paceline_adapters.bench.engine import Bench, Plan
from paceline_adapters.bench.recorded import recorded_latencies
from paceline_adapters.bench.workload import (
    Workload,
    WorkloadFile,
    examples,
    made_up,
    of_files,
    parse_latencies,
    scaled,
)

#: How many times faster than real the provider answers: in a whole run, and in a quick one.
SPEED, QUICK_SPEED = 20.0, 60.0


class Asked(BaseModel):
    """The options of ``paceline bench`` that say what is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: Sequence[Path] = ()
    strategies: Sequence[str] = ()
    executors: Sequence[str] = ()
    stores: Sequence[StoreName] = ()
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

    def bench(self, *, arguments: Sequence[str] = (), keep: Path | None = None) -> Bench:
        """Check everything, and start nothing yet.

        Args:
            arguments: what was typed, for the results.
            keep: the results file.

        Raises:
            UsageError: something cannot be; the text names it, and what is allowed.
            PartUnavailable: the database with recorded latencies cannot be reached.
        """
        work = self._workload()
        cells = default_cells(self.strategies, self.executors, self.stores)
        contests = prepare(cells, work, workers=self.workers)
        if self.contestants is not None:
            store: StoreName = "sqlite" if set(self.stores) == {"sqlite"} else "postgresql"
            found = contestants(self.contestants, store)
            contests += prepare_contestants(found, work, workers=self.workers)
        names = [contest.cell.name for contest in contests]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"the same cell twice: {', '.join(twice)}")
        rounds = self.rounds or (2 if self.quick else 5)
        warm_up = self.warm_up if self.warm_up is not None else int(not self.quick)
        return Bench(
            contests=contests,
            workload=work,
            plan=Plan(rounds=rounds, warm_up=warm_up, seed=work.seed),
            command=shlex.join(["paceline", "bench", *arguments]),
            keep=keep,
        )

    def _workload(self) -> Workload:
        file = WorkloadFile() if self.workload is None else WorkloadFile.read(self.workload)
        roadmaps = self.roadmaps or file.roadmaps
        concepts = self.concepts or file.concepts
        files = [*self.files] or file.files
        if files and (self.roadmaps or self.concepts):
            raise UsageError("roadmap files, or --roadmaps and --concepts, not both")
        if files:
            work = of_files(read_roadmaps(tuple(files)))
        elif roadmaps or concepts:
            work = made_up(roadmaps or 8, concepts or 30)
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
