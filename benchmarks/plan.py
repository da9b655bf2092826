"""Are forecasts true? ``python -m benchmarks.plan``.

Settings are forecast by ``paceline plan``'s engine, then run for real: worker processes, databases,
Redis, and the simulator over HTTP, 10 times faster than a real provider. The runs are interleaved
in random order. The provider's minute is 10 times shorter, too. ``adaptive`` would take a quota in
headers for that of a real minute, so the two are not combined.

A forecast sees a workload file, a file that describes the provider, and the tokens of recorded runs
of other roadmaps with another seed. It does not see the simulator's seed or code.

For each setting the table shows the forecast range of the makespan (8 of 10 draws), the real
makespans, the error of the median, and whether cost and peak of calls lie in their ranges. A peak
may differ by one call.
"""

import asyncio
import json
import os
import random
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
from paceline import App, Forecast, Roadmap
from paceline.planning.forecast import Range
from paceline.planning.inputs import Inputs, given, recorded
from paceline.planning.plan import Planner
from paceline.planning.stacks import Part
from paceline.planning.workload_file import WorkloadFile
from paceline_adapters.bench.environments import (
    Environment,
    Environments,
    SimulatedProvider,
    simulated_provider,
)
from paceline_adapters.bench.measure import PreparedCell, RoundObservation, figures
from paceline_adapters.bench.observation import HostObservation
from paceline_adapters.bench.probes.calls import OK, Call, read_calls
from paceline_adapters.bench.probes.postgres import DatabaseProbe
from paceline_adapters.bench.probes.processes import TreeProbe
from paceline_adapters.bench.protocol import START_TIMEOUT, RoundSpec, start_program
from paceline_adapters.bench.workload import examples, warm_up

from benchmarks.experiment import paceline_cell
from benchmarks.targets import Target, conclude, table

SPEED = 10.0
#: Length of the provider's minute, in seconds.
WINDOW = 60.0 / SPEED
#: Prices of a million tokens.
PRICES = {"provider.prompt_price": "0.15", "provider.completion_price": "0.6"}
SEED, SAMPLE_SEED = 42, 7
#: A run without a new request for this number of seconds has failed.
_STALL = 120.0
_UNUSED_REDIS = "redis://127.0.0.1:1/0"


@dataclass(frozen=True, slots=True)
class Scene:
    """A provider: how it is described to the forecast, and how the simulator plays it.

    Attributes:
        model: lines of the file that describes it, without the length of its minute.
        options: options of the simulator.
        neighbours: calls of other clients per minute of the provider.
    """

    model: str = ""
    options: tuple[str, ...] = ()
    neighbours: int = 0


SCENES: Mapping[str, Scene] = {
    "plain": Scene(),
    "at most 20 at once": Scene("capacity = 20", ("--max-concurrency", "20")),
    "40 requests a minute": Scene("rpm = 40", ("--rpm", "40")),
    "200000 tokens a minute": Scene("tpm = 200000", ("--tpm", "200000")),
    "slower above 8": Scene("knee = 8", ("--knee", "8")),
    "neighbours": Scene(
        "rpm = 60\nforeign = [{since = 0, until = 3600, rpm = 30, tokens = 20}]",
        ("--rpm", "60"),
        neighbours=30,
    ),
    "5 % errors": Scene("transient = 0.05", ("--fault", "500=0.05")),
    "10 % unusable": Scene("unusable = 0.1", ("--fault", "schema-invalid=0.1")),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One setting with one provider."""

    strategy: str
    scene: str = "plain"
    executor: str = "in-process"
    store: str = "sqlite"
    workers: int = 1
    quick: bool = False

    @property
    def name(self) -> str:
        """Name in the table."""
        where = "" if self.executor == "in-process" else f", {self.workers} x {self.executor}"
        scene = "" if self.scene == "plain" else f", {self.scene}"
        return f"{self.strategy}{where}{scene}"


CASES = (
    Case("per-roadmap:limit=3"),
    Case("per-roadmap:limit=5", quick=True),
    Case("per-roadmap:limit=10", store="postgresql"),
    Case("global:concurrency=16", store="postgresql", quick=True),
    Case("global:concurrency=32"),
    Case("adaptive"),
    Case("unbounded"),
    Case("per-roadmap:limit=5+global:concurrency=12"),
    Case("per-roadmap:limit=10", executor="in-process:concurrency=2"),
    Case("per-roadmap:limit=5", executor="celery", store="postgresql", workers=2, quick=True),
    Case("global:concurrency=16", executor="celery", store="postgresql", workers=2),
    Case("per-roadmap:limit=5", executor="arq", store="postgresql", workers=2),
    Case("global:concurrency=24", executor="arq", store="postgresql", workers=2),
    Case("unbounded", "at most 20 at once"),
    Case("adaptive", "at most 20 at once", quick=True),
    Case("global:concurrency=16", "40 requests a minute", quick=True),
    Case("per-roadmap:limit=5", "40 requests a minute"),
    Case("global:concurrency=16", "200000 tokens a minute"),
    Case("global:concurrency=16", "slower above 8"),
    Case("unbounded", "slower above 8"),
    Case("global:concurrency=16", "neighbours", quick=True),
    Case("per-roadmap:limit=5", "5 % errors"),
    Case("global:concurrency=16", "10 % unusable", quick=True),
)


@dataclass(frozen=True, slots=True)
class Real:
    """One real run."""

    makespan: float
    cost: float
    calls_peak: int
    refusals: int
    connections: float | None
    transactions: float | None
    events_peak: float


@dataclass(slots=True)
class Result:
    """A setting, its forecast and its real runs."""

    case: Case
    forecast: Forecast
    runs: list[Real] = field(default_factory=list[Real])

    @property
    def error(self) -> float:
        """Relative error of the median makespan."""
        real = median(one.makespan for one in self.runs)
        return self.forecast.makespan.median / real - 1

    def holds(self) -> Mapping[str, list[bool]]:
        """For each real run, whether each figure lies in its range."""
        found, cost = self.forecast, self.forecast.cost
        peak = Range(0, found.calls_peak.p10 - 1, found.calls_peak.p90 + 1)
        return {
            "makespan": [found.makespan.holds(one.makespan) for one in self.runs],
            "cost": [cost is not None and cost.holds(one.cost) for one in self.runs],
            "peak": [peak.holds(one.calls_peak) for one in self.runs],
        }

    def row(self) -> list[str]:
        """Row of the table."""
        found, holds = self.forecast, self.holds()
        makespans = " ".join(f"{one.makespan:.1f}" for one in self.runs)
        peaks = " ".join(str(one.calls_peak) for one in self.runs)
        return [
            self.case.name,
            f"{found.makespan.p10:.1f} - {found.makespan.p90:.1f}",
            makespans,
            f"{self.error:+.0%}",
            _verdict(holds["makespan"]),
            _verdict(holds["cost"]),
            f"{found.calls_peak.p10:.0f} - {found.calls_peak.p90:.0f}",
            peaks,
            _verdict(holds["peak"]),
        ]

    def load_row(self) -> list[str]:
        """Row of the table of refusals, database and events."""
        found = self.forecast
        refusals = " ".join(str(one.refusals) for one in self.runs)
        row = [self.case.name, _text(found.refusals), refusals]
        row += [_text(found.events_peak), _real([one.events_peak for one in self.runs])]
        if found.connections_peak is None or found.transactions is None:
            return [*row, "", "", "", ""]
        row += [_text(found.connections_peak), _real([one.connections for one in self.runs])]
        return [*row, _text(found.transactions), _real([one.transactions for one in self.runs])]


def _verdict(held: Sequence[bool]) -> str:
    return "yes" if all(held) else f"{sum(held)} of {len(held)}"


def _text(found: Range) -> str:
    return f"{found.p10:.0f} - {found.p90:.0f}"


def _real(values: Sequence[float | None]) -> str:
    return " ".join("?" if value is None else f"{value:.0f}" for value in values)


def prepared(case: Case) -> PreparedCell:
    """The cell of the benchmark that a case is."""
    work = replace(examples(), speed=SPEED)
    cell = paceline_cell(case.strategy, case.executor, work, store=case.store, workers=case.workers)
    return replace(cell, settings={**cell.settings, **PRICES})


def app_of(case: Case) -> App:
    """An app with the settings of a case; it is not connected to anything."""
    url = "postgresql://nobody@127.0.0.1:1/none" if case.store == "postgresql" else "sqlite:///none"
    overrides = {**prepared(case).settings, "store.url": url, "redis.url": _UNUSED_REDIS}
    return App.load(os.devnull, overrides, environ={})


def inputs_of(scene: Scene, sample: Inputs, folder: Path) -> Inputs:
    """What the forecast sees of a provider: two files, and the tokens of the sample."""
    workload, model = folder / "workload.toml", folder / "provider.toml"
    workload.write_text(
        f"speed = {SPEED}\n[latency]\ntutorial = '20-30'\nresources = '15-20'\nquiz = '10-15'\n"
    )
    model.write_text(scene.model + "\n")
    found = given(WorkloadFile.read(workload), model)
    return replace(
        found, answers=sample.answers, prompts=sample.prompts, token_level=sample.token_level
    )


async def forecasts(
    cases: Sequence[Case], roadmaps: Sequence[Roadmap], sample: Inputs, folder: Path
) -> list[Result]:
    """Forecast every case."""
    found: list[Result] = []
    for case in cases:
        planner = Planner(
            factory=app_of(case).factory,
            roadmaps=roadmaps,
            inputs=inputs_of(SCENES[case.scene], sample, folder),
            workers=case.workers,
            draws=40,
        )
        found.append(Result(case, await planner.forecast()))
        sys.stderr.write(f"  forecast: {case.name}\n")
    return found


@asynccontextmanager
async def neighbours(llm: SimulatedProvider, per_minute: int) -> AsyncGenerator[None]:
    """Other clients that use the key at a constant rate meanwhile."""
    body = json.dumps(
        {"model": "gpt-4o-mini", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    ).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer simulated"}

    def call() -> None:
        request = urllib.request.Request(
            f"{llm.base_url}/chat/completions", data=body, headers=headers
        )
        with suppress(OSError):  # refused, as it may be
            urllib.request.urlopen(request).close()

    async def calls() -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(asyncio.to_thread(call))
                await asyncio.sleep(WINDOW / per_minute)

    if not per_minute:
        yield
        return
    calling = asyncio.create_task(calls())
    try:
        yield
    finally:
        calling.cancel()
        await asyncio.wait({calling})


async def run(
    case: Case, environments: Environments, paths: Sequence[Path], warm: Path, seed: int
) -> Real:
    """Run a case for real, once."""
    cell, scene = prepared(case), SCENES[case.scene]
    options = ["--seed", str(seed), "--speed", f"{SPEED:g}", "--quota-window", str(WINDOW)]
    async with (
        environments.environment(Part(case.store), redis=cell.redis) as environment,
        simulated_provider([*options, *scene.options], environment.folder) as llm,
        start_program(
            cell.command, _spec(cell, environment, llm, paths, warm), folder=environment.folder
        ) as program,
    ):
        await program.wait_for("ready", timeout=START_TIMEOUT)
        await llm.reset()
        async with TreeProbe(program.pid) as processes, neighbours(llm, scene.neighbours):
            probe = None
            if environments.postgres is not None and environment.database:
                probe = DatabaseProbe(environments.postgres, environment.database)
                await probe.__aenter__()
            started, clock = time.time(), time.perf_counter()
            program.go()
            done = await program.wait_for(
                "done", timeout=_STALL, progress=lambda: llm.log.stat().st_size
            )
            if probe is not None:
                await probe.__aexit__(None, None, None)
        stats = await _stats(llm)
        await program.end()
        calls = [one for one in read_calls(llm.log, since=started) if one.roadmap]
        observed = RoundObservation(
            started=started,
            makespan=done - clock,
            processes=processes.figures,
            database=None if probe is None else probe.figures,
            calls=calls,
            provider=await llm.stats(),
            host=HostObservation.model_validate_json(
                (environment.folder / "observation.json").read_bytes()
            ),
        )
    found = figures(
        observed, cell.limits, 1, lambda _: 0.0
    )  # transactions in total, not per concept
    prompt, completion = (float(price) for price in PRICES.values())
    return Real(
        makespan=observed.makespan,
        cost=(stats["prompt_tokens"] * prompt + stats["completion_tokens"] * completion) / 1e6,
        calls_peak=_peak(observed.calls),
        refusals=int(found["calls_refused"]),
        connections=found.get("connections_peak"),
        transactions=found.get("transactions_per_concept"),
        events_peak=found["events_peak"],
    )


def _spec(
    cell: PreparedCell,
    environment: Environment,
    llm: SimulatedProvider,
    paths: Sequence[Path],
    warm: Path,
) -> RoundSpec:
    return RoundSpec(
        roadmaps=list(paths),
        warm_up=warm,
        base_url=llm.base_url,
        api_key="simulated",
        model="gpt-4o-mini",
        store_url=environment.store_url,
        redis_url=environment.redis_url,
        settings=dict(cell.settings),
        workers=cell.workers,
        out=environment.folder / "observation.json",
    )


async def _stats(llm: SimulatedProvider) -> dict[str, int]:
    url = f"{llm.base_url.removesuffix('/v1')}/__paceline/stats"
    raw = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
    found: dict[str, int] = json.loads(raw)
    return found


def _peak(calls: Sequence[Call]) -> int:
    """Most accepted calls in flight at once."""
    accepted = [one for one in calls if one.status == OK]
    changes = sorted([(one.ended, -1) for one in accepted] + [(one.started, 1) for one in accepted])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


async def sample_of(environments: Environments, roadmaps: Sequence[Roadmap]) -> Inputs:
    """The tokens of recorded runs of other roadmaps, with another seed."""
    options = ["--seed", str(SAMPLE_SEED), "--speed", "100"]
    async with (
        environments.environment(Part("sqlite"), redis=False) as environment,
        simulated_provider(options, environment.folder) as llm,
    ):
        app = App.load(
            os.devnull,
            {
                "provider.base_url": llm.base_url,
                "provider.api_key": "simulated",
                "store.url": environment.store_url,
            },
            environ={},
        )
        async with app.client(work=True) as client:
            for roadmap in roadmaps:
                started, _ = await client.submit(roadmap)
                async for event in client.follow(started.run_id):
                    if event.stopped:
                        break
            return await recorded(given(), client.store, app.settings)


async def measure(
    cases: Sequence[Case], rounds: int, seed: int, environments: Environments
) -> list[Result]:
    """Record a sample, forecast every case, then run all of them in random order."""
    roadmaps = examples().roadmaps[:2]
    with TemporaryDirectory(prefix="paceline-plan-") as name:
        folder = Path(name)
        paths = replace(examples(), roadmaps=roadmaps).write(folder)
        warm = folder / "warm-up.json"
        warm.write_text(warm_up().model_dump_json())
        sample = await sample_of(environments, examples().roadmaps[2:])
        results = await forecasts(cases, roadmaps, sample, folder)
        for number in range(rounds):
            order = list(results)
            random.Random(f"{seed}/{number}").shuffle(order)
            for result in order:
                real = await run(result.case, environments, paths, warm, seed + number)
                result.runs.append(real)
                low, high = result.forecast.makespan.p10, result.forecast.makespan.p90
                sys.stderr.write(
                    f"  {result.case.name}: {real.makespan:.1f} s ({low:.1f} - {high:.1f})\n"
                )
    return results


def targets_of(results: Sequence[Result]) -> list[Target]:
    """The goals."""
    held = {
        name: [one for result in results for one in result.holds()[name]]
        for name in ("makespan", "cost", "peak")
    }
    found = [
        Target(f"share of real {name}s in the forecast range", sum(ones) / len(ones), least=0.9)
        for name, ones in held.items()
    ]
    errors = [abs(one.error) for one in results]
    found.append(Target("error of the median makespan", median(errors), most=0.1))
    plain = [one for one in results if one.case.scene == "plain"]
    best = min(plain, key=lambda one: one.forecast.makespan.median)
    real = {one.case: median(run.makespan for run in one.runs) for one in plain}
    behind = real[best.case] / min(real.values())
    found.append(Target("best by forecast / best in reality", behind, most=1.05))
    return found


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--seed", type=int, default=SEED, show_default=True, help="Seed of the simulator.")
@click.option("--quick", is_flag=True, help="A third of the settings, once each.")
@click.option("--only", metavar="TEXT", default="", help="Only settings with this in their name.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all runs."
)
def main(rounds: int, seed: int, quick: bool, only: str, json_file: Path | None) -> None:
    """Run the benchmark."""
    cases = [case for case in CASES if only in case.name and (case.quick or not quick)]
    with Environments([Part("postgresql"), Part("sqlite")], redis=True) as environments:
        results = asyncio.run(measure(cases, 1 if quick else rounds, seed, environments))
    head = ["", "forecast s", "real s", "error", "in", "cost in", "peak", "real", "in"]
    click.echo(table(head, [one.row() for one in results]))
    head = ["", "refusals", "real", "events/s", "real", "DB conns", "real", "DB trans.", "real"]
    click.echo("\n" + table(head, [one.load_row() for one in results]))
    records = [
        {
            "name": one.case.name,
            "forecast": one.forecast.to_json(),
            "runs": [asdict(run) for run in one.runs],
        }
        for one in results
    ]
    sys.exit(conclude(targets_of(results), {"settings": records}, json_file))


if __name__ == "__main__":
    main()
