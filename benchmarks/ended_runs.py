"""The cost of a run beside many ended runs: ``python -m benchmarks.ended_runs``.

Two databases of each kind are filled with ended runs: one with few, one with many. The same
actions are then measured in both, in turns, so that other work of the machine slows down both.
Each action is that of a worker or client with one connection. The median of the ratios of all turns
must not exceed 1.2.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

import click
from paceline import App, Settings
from paceline.contracts.storage.records import Artifact, ConceptState, Replaced
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import Revision
from paceline.testing.contracts.store.inputs import roadmap
from paceline.testing.servers import Postgres
from paceline_adapters.sql import schema

from benchmarks.ended_runs_filling import STEPS, fill
from benchmarks.targets import Target, conclude, table

#: Maximum ratio of the cost beside many runs to that beside few.
FLAT = 1.2
#: Number of runs of a listed page. Both databases have as many.
PAGE = 10
_LEASE = 30.0

#: Seconds of each action.
Timings = dict[str, list[float]]


class _Watch:
    """Adds the seconds of each action to its list."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._began = perf_counter()

    def start(self) -> None:
        """Begin to measure."""
        self._began = perf_counter()

    def stop(self, action: str) -> None:
        """The action has ended."""
        self._timings.setdefault(action, []).append(perf_counter() - self._began)


async def one_turn(store: Store, timings: Timings, concepts: int) -> None:
    """Measure every action once, with a run that is purged at the end."""
    watch = _Watch(timings)
    run, _ = await store.create_run(roadmap("measured", concepts=concepts), executor="x", new=True)
    watch.start()
    claim = await store.claim_next("x", "worker", lease=_LEASE)
    watch.stop("claim")
    if claim is None or claim.run_id != run.run_id:
        raise RuntimeError("the benchmark's run was not claimed")
    watch.start()
    for number in range(concepts):
        for step in STEPS:
            await store.save(claim, _artifact(number, step), concept=_done(number))
    watch.stop("save a run")
    await store.finish(claim, "completed")
    watch.start()
    await store.runs(limit=PAGE)
    await store.runs(status=["queued", "running"], limit=PAGE)
    await store.runs(roadmap_id="measured", tenants=["", "acme"], limit=PAGE)
    watch.stop("list")
    watch.start()
    wish = Revision(concept_id="c0", step=STEPS[0])
    await store.request_revisions(run.run_id, [wish], executor="x")
    again = await store.claim_next("x", "worker", lease=_LEASE)
    if again is None:
        raise RuntimeError("the revised run was not claimed")
    revised = Replaced(revision=1)
    await store.save(again, _artifact(0, STEPS[0]), concept=_done(0), replaced=revised)
    watch.stop("revise")
    await store.finish(again, "completed")
    watch.start()
    await store.restore(run.run_id, "c0", STEPS[0], 1)
    watch.stop("restore")
    watch.start()
    await store.purgeable(older_than=90 * 86_400.0, limit=100)
    watch.stop("look for old runs")
    watch.start()
    await store.hide(run.run_id)
    await store.purge(run.run_id)
    watch.stop("purge")


def _artifact(number: int, step: str) -> Artifact:
    return Artifact(
        concept_id=f"c{number}",
        step=step,
        content=json.dumps({"text": "…" * 1000}),
        model="m",
        prompt_tokens=500,
        completion_tokens=900,
        cost=0.01,
        seconds=20.0,
        attempts=1,
    )


def _done(number: int) -> ConceptState:
    return ConceptState(concept_id=f"c{number}", status="completed")


@asynccontextmanager
async def filled(url: str, runs: int, concepts: int) -> AsyncIterator[Store]:
    """An open store with ended runs."""
    app = App(Settings.model_validate({"store": {"url": url}}))
    await asyncio.to_thread(schema.upgrade, app.settings.store.url)
    async with app.factory.open_store() as store:
        began = perf_counter()
        await fill(store, runs, concepts)
        click.echo(f"{runs:>7,} runs written in {perf_counter() - began:.0f} s", err=True)
        yield store


async def measure(urls: Sequence[str], sizes: Sequence[int], concepts: int, turns: int) -> Timings:
    """Measure both databases in turns; the actions have the size in their names."""
    measured: dict[int, Timings] = {size: {} for size in sizes}
    async with AsyncExitStack() as stack:
        stores = [
            (size, await stack.enter_async_context(filled(url, size, concepts)))
            for url, size in zip(urls, sizes, strict=True)
        ]
        for turn in range(turns + 1):
            for size, store in stores if turn % 2 else reversed(stores):
                # The first turn only fills caches.
                await one_turn(store, measured[size] if turn else {}, concepts)
    return {f"{name}|{size}": times for size in sizes for name, times in measured[size].items()}


def judge(kind: str, timings: Timings, sizes: Sequence[int]) -> list[Target]:
    """Print the figures of one kind of database; returns the ratios."""
    names = list(dict.fromkeys(name.partition("|")[0] for name in timings))
    rows, targets = [], []
    for name in names:
        pair = [timings[f"{name}|{size}"] for size in sizes]
        ratio = median(many / few for few, many in zip(*pair, strict=True))
        rows.append([name, *map(_shown, pair), f"{ratio:.2f}"])
        targets.append(Target(f"{kind}: {name}", ratio, most=FLAT))
    head = [kind, *(f"ms with {size:,} runs" for size in sizes), "ratio"]
    click.echo("\n" + table(head, rows))
    return targets


def _shown(seconds: Sequence[float]) -> str:
    """The median with its quartiles, in milliseconds."""
    low, middle, high = (1000 * one for one in quantiles(seconds, n=4))
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


@click.command()
@click.option("--few", type=click.IntRange(PAGE), default=PAGE, show_default=True)
@click.option("--many", type=click.IntRange(2), default=10_000, show_default=True)
@click.option("--concepts", type=click.IntRange(1), default=30, show_default=True)
@click.option("--turns", type=click.IntRange(2), default=40, show_default=True)
@click.option("--kind", type=click.Choice(["sqlite", "postgresql"]), multiple=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    *, few: int, many: int, concepts: int, turns: int, kind: tuple[str, ...], json_file: Path | None
) -> None:
    """Measure claim, save, list, revise, restore and purge beside few and many ended runs."""
    sizes, targets, measured = (few, many), list[Target](), dict[str, object]()
    for one in kind or ("sqlite", "postgresql"):
        with TemporaryDirectory() as folder:
            timings = asyncio.run(_measured(one, Path(folder), sizes, concepts, turns))
        measured[one] = timings
        targets += judge(one, timings, sizes)
    raise SystemExit(conclude(targets, measured, json_file))


async def _measured(
    kind: str, folder: Path, sizes: Sequence[int], concepts: int, turns: int
) -> Timings:
    if kind == "sqlite":
        urls = [f"sqlite:///{folder}/{size}.db" for size in sizes]
        return await measure(urls, sizes, concepts, turns)
    with Postgres(fsync=True) as server:
        urls = [server.create_database(f"with_{size}") for size in sizes]
        return await measure(urls, sizes, concepts, turns)


if __name__ == "__main__":
    main()
