"""The engine: it interleaves the rounds of all cells and saves the results after each round.

Each round measures every cell once, in a new random order. If the machine becomes slower during
the benchmark, all cells are affected alike, so ratios between cells stay comparable.
"""

import asyncio
import os
import platform
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil
from paceline import PartUnavailable, SettingsError
from pydantic import ValidationError

from paceline_adapters.bench.environments import Environments
from paceline_adapters.bench.folders import temporary_folder
from paceline_adapters.bench.guard import guarded
from paceline_adapters.bench.measure import PreparedCell, measure
from paceline_adapters.bench.results import CellResults, Machine, Results, Round
from paceline_adapters.bench.workload import Workload, warm_up

_PACKAGES = (
    "aiohttp",
    "aiosqlite",
    "arq",
    "asyncpg",
    "celery",
    "openai",
    "pydantic",
    "redis",
    "sqlalchemy",
)


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """How often each cell is measured.

    Attributes:
        warm_up: number of earlier rounds that are discarded.
    """

    rounds: int = 5
    warm_up: int = 1
    seed: int = 42

    def schedule(self, cells: int) -> Iterator[tuple[int, int]]:
        """Round number (0 and below for the warm-up) and index of a cell, in order."""
        for number in range(1 - self.warm_up, self.rounds + 1):
            order = list(range(cells))
            random.Random(f"{self.seed}/{number}").shuffle(order)  # noqa: S311
            for index in order:
                yield number, index


@dataclass(slots=True)
class Bench:
    """One benchmark.

    Attributes:
        results_file: file that is written after each round, if any.
        max_connections: ``max_connections`` of the PostgreSQL server.
        on_progress: called before each measurement with the number done, the total and a text.
        on_failure: called with the reason if a round could not be measured.
        failures: reasons of failed cells, by name.
    """

    cells: Sequence[PreparedCell]
    workload: Workload
    plan: RoundPlan
    command: str = ""
    results_file: Path | None = None
    max_connections: int = 100
    on_progress: Callable[[int, int, str], None] | None = None
    on_failure: Callable[[str], None] | None = None
    failures: dict[str, str] = field(default_factory=dict[str, str])
    _rounds: dict[str, list[Round]] = field(default_factory=dict[str, list[Round]])
    _machine: Machine | None = None

    def resume(self, earlier: Results) -> None:
        """Continue an interrupted benchmark; its rounds are kept.

        Raises:
            SettingsError: the earlier results are of another workload.
        """
        if earlier.workload != self.workload.facts():
            raise SettingsError(
                "--resume needs results of the same workload, but these are of another one"
            )
        self._machine = earlier.machine
        for cell in earlier.cells:
            self._rounds[cell.name] = list(cell.rounds)

    def run(self) -> Results:
        """Measure, on a new event loop. After Ctrl-C the results file has the finished rounds.

        A cell that fails is left out of later rounds and named in ``failures``.

        Raises:
            PartUnavailable: a server did not start, or every cell failed.
        """
        if all(self._measured(cell.cell.name, 0) for cell in self.cells):
            return self.results()
        stores = [cell.cell.store for cell in self.cells]
        redis = any(cell.redis for cell in self.cells)
        environments = Environments(stores, redis=redis, max_connections=self.max_connections)
        with (
            guarded(),
            temporary_folder() as folder,
            environments,
        ):
            self._machine = _machine(environments.versions())
            paths = self.workload.write(folder)
            warm = folder / "warm-up.json"
            warm.write_text(warm_up().model_dump_json())
            asyncio.run(self._measure(paths, warm, environments))
        if not self._rounds:
            raise PartUnavailable("no cell could be measured")
        return self.results()

    async def _measure(self, paths: Sequence[Path], warm: Path, environments: Environments) -> None:
        schedule = list(self.plan.schedule(len(self.cells)))
        for done, (number, index) in enumerate(schedule):
            prepared = self.cells[index]
            name = prepared.cell.name
            if name in self.failures or self._measured(name, number):
                continue
            label = f"round {number}" if number > 0 else "warm-up"
            self._report(done, len(schedule), f"{name}, {label}")
            try:
                figures, timeline = await measure(
                    prepared, self.workload, paths, warm, environments
                )
            except PartUnavailable as error:
                self.failures[name] = str(error)
                if self.on_failure is not None:
                    self.on_failure(f"{name}: {error}")
                continue
            if number > 0:
                self._rounds.setdefault(name, []).append(
                    Round(number=number, order=done + 1, figures=figures, timeline=timeline)
                )
                self._save()
        self._report(len(schedule), len(schedule), "")

    def _report(self, done: int, total: int, text: str) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total, text)

    def _measured(self, name: str, number: int) -> bool:
        rounds = self._rounds.get(name, [])
        if number < 1:  # a cell with all its rounds needs no warm-up
            return len(rounds) >= self.plan.rounds
        return any(found.number == number for found in rounds)

    def results(self) -> Results:
        """The results so far."""
        return Results(
            paceline=metadata.version("paceline"),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            command=self.command,
            machine=self._machine or _machine({}),
            workload=self.workload.facts(),
            cells=[
                CellResults(
                    name=prepared.cell.name,
                    strategy="+".join(map(str, prepared.cell.strategy)),
                    executor=str(prepared.cell.executor),
                    store=str(prepared.cell.store),
                    contestant=prepared.cell.contestant,
                    settings=dict(prepared.settings),
                    redis=prepared.redis,
                    rounds=self._rounds[prepared.cell.name],
                )
                for prepared in self.cells
                if prepared.cell.name in self._rounds
            ],
        )

    def _save(self) -> None:
        if self.results_file is not None:
            save(self.results(), self.results_file)


def save(results: Results, path: Path) -> None:
    """Write a results file, atomically for readers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(results.model_dump_json(exclude_none=True))
    temporary.replace(path)


def load(path: Path) -> Results:
    """Read a results file.

    Raises:
        SettingsError: the file cannot be read, or holds no results.
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        location = ".".join(map(str, fault["loc"]))
        raise SettingsError(
            f"{path}: not a benchmark results file: {location}: {fault['msg']}"
        ) from None


def _machine(servers: dict[str, str]) -> Machine:
    versions = dict(servers)
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=versions,
    )
