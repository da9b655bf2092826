"""The engine: rounds outermost, cells inner, in another order each time; results kept as it goes.

A machine that drifts, by heat or by neighbours, then hurts every cell alike, and a ratio of two
cells within one call means something where two seconds of different hours would not.
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
from tempfile import TemporaryDirectory

import psutil
from paceline import PartUnavailable, SettingsError
from pydantic import ValidationError

from paceline_adapters.bench.cells import StoreName
from paceline_adapters.bench.measure import Contest, measure
from paceline_adapters.bench.places import Places
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
class Plan:
    """How often each cell is measured.

    Attributes:
        rounds: that count.
        warm_up: rounds before them, which do not.
        seed: of the order of cells within a round.
    """

    rounds: int = 5
    warm_up: int = 1
    seed: int = 42

    def turns(self, cells: int) -> Iterator[tuple[int, int]]:
        """Round number (0 and below for the warm-up) and place of a cell, in order."""
        for number in range(1 - self.warm_up, self.rounds + 1):
            places = list(range(cells))
            random.Random(f"{self.seed}/{number}").shuffle(places)  # noqa: S311
            for place in places:
                yield number, place


@dataclass(slots=True)
class Bench:
    """One call of the benchmark.

    Attributes:
        contests: the cells.
        workload: what is generated.
        plan: how often.
        command: what was typed, for the results.
        keep: file that holds the results after each round; ``None`` keeps none.
        max_connections: of the PostgreSQL server.
        told: called before each round of a cell, with how many are done and of how many.
        failed: called with the reason where a round could not be measured.
        failures: those reasons, by cell.
    """

    contests: Sequence[Contest]
    workload: Workload
    plan: Plan
    command: str = ""
    keep: Path | None = None
    max_connections: int = 100
    told: Callable[[int, int, str], None] | None = None
    failed: Callable[[str], None] | None = None
    failures: dict[str, str] = field(default_factory=dict[str, str])
    _rounds: dict[str, list[Round]] = field(default_factory=dict[str, list[Round]])
    _machine: Machine | None = None

    def resume(self, earlier: Results) -> None:
        """Go on where an earlier call of the same was interrupted; its rounds are kept.

        Raises:
            SettingsError: it measured other work.
        """
        if earlier.workload != self.workload.facts():
            raise SettingsError("the results to go on with are of another workload")
        self._machine = earlier.machine
        for cell in earlier.cells:
            self._rounds[cell.name] = list(cell.rounds)

    def run(self) -> Results:
        """Measure, on an event loop of its own. What a Ctrl-C leaves is in the file.

        A cell that fails is left out of the rounds that follow, and named in ``failures``.

        Raises:
            PartUnavailable: a server did not start, or every cell failed.
        """
        if all(self._has(contest.cell.name, 0) for contest in self.contests):
            return self.results()
        stores: list[StoreName] = [contest.cell.store for contest in self.contests]
        redis = any(contest.redis for contest in self.contests)
        places = Places(stores, redis=redis, max_connections=self.max_connections)
        with TemporaryDirectory(prefix="paceline-workload-") as folder, places:
            self._machine = _machine(places.versions())
            paths = self.workload.write(Path(folder))
            warm = Path(folder) / "warm-up.json"
            warm.write_text(warm_up().model_dump_json())
            asyncio.run(self._measure(paths, warm, places))
        if not self._rounds:
            raise PartUnavailable("no cell could be measured")
        return self.results()

    async def _measure(self, paths: Sequence[Path], warm: Path, places: Places) -> None:
        turns = list(self.plan.turns(len(self.contests)))
        for done, (number, place) in enumerate(turns):
            contest = self.contests[place]
            name = contest.cell.name
            if name in self.failures or self._has(name, number):
                continue
            self._tell(done, len(turns), f"{name}, {_which(number)}")
            try:
                found, line = await measure(contest, self.workload, paths, warm, places)
            except PartUnavailable as error:
                self.failures[name] = str(error)
                if self.failed is not None:
                    self.failed(f"{name}: {error}")
                continue
            if number > 0:
                self._rounds.setdefault(name, []).append(
                    Round(number=number, order=done + 1, figures=found, timeline=line)
                )
                self._save()
        self._tell(len(turns), len(turns), "")

    def _tell(self, done: int, total: int, what: str) -> None:
        if self.told is not None:
            self.told(done, total, what)

    def _has(self, name: str, number: int) -> bool:
        mine = self._rounds.get(name, [])
        if number < 1:  # no need to warm up what has nothing left to do
            return len(mine) >= self.plan.rounds
        return any(found.number == number for found in mine)

    def results(self) -> Results:
        """What was measured until now."""
        return Results(
            paceline=metadata.version("paceline"),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            command=self.command,
            machine=self._machine or _machine({}),
            workload=self.workload.facts(),
            cells=[
                CellResults(
                    name=contest.cell.name,
                    strategy="+".join(map(str, contest.cell.strategy)),
                    executor=str(contest.cell.executor),
                    store=contest.cell.store,
                    contestant=contest.cell.contestant,
                    settings=dict(contest.settings),
                    rounds=self._rounds[contest.cell.name],
                )
                for contest in self.contests
                if contest.cell.name in self._rounds
            ],
        )

    def _save(self) -> None:
        if self.keep is not None:
            save(self.results(), self.keep)


def save(results: Results, path: Path) -> None:
    """Write a results file; a reader never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(results.model_dump_json(exclude_none=True))
    beside.replace(path)


def load(path: Path) -> Results:
    """Read a results file.

    Raises:
        SettingsError: it cannot be read, or is none.
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise SettingsError(f"{path}: no benchmark results: {place}: {fault['msg']}") from None


def _which(number: int) -> str:
    return f"round {number}" if number > 0 else "warm-up"


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
