"""Estimates when runs end, for a process that shows them: at a cost that does not grow with runs.

The expectation is that of ``paceline plan`` for the settings, with latencies of the newest runs of
the store. It is forecast in a thread, once in some minutes. Every few seconds, one query reads how
far all runs are.
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence

from paceline.contracts.storage.records import Run, RunPace
from paceline.contracts.storage.store import Store
from paceline.planning.eta import Course, Outlook
from paceline.planning.inputs import Inputs, given, recorded
from paceline.planning.plan import Planner
from paceline.planning.workload_file import synthetic_roadmap
from paceline.runtime.part_factory import PartFactory
from paceline.tasks import cancel_and_wait

log = logging.getLogger("paceline.planning")

#: Concepts of the small and the large forecast, together over all their roadmaps.
_SMALL, _LARGE = 12, 60
#: Draws of each forecast.
_DRAWS = 3
#: Past runs that the latencies are taken from, newest first.
_PAST_RUNS = 5
#: Number of roadmaps that a forecast has at most; more of them begin later.
_MOST_ROADMAPS = 8
#: Seconds until an expectation is forecast again; the second number is for one that failed, or that
#: rests on no data.
_OUTLOOK_AGE, _RETRY = 600.0, 60.0
#: Seconds for which estimates are used again.
FRESH = 3.0
#: Seconds that a command waits for a forecast.
PATIENCE = 5.0
#: Maximum number of expectations: one per set of steps and number of roadmaps.
_KEPT = 32

#: Steps of a run, and number of runs that begin together.
_Kind = tuple[tuple[str, ...], int]


class Estimator:
    """Estimates of one process, on its event loop.

    Args:
        factory: the settings and the parts of the app.
        store: has the runs.
        workers: number of worker processes, if the executor is distributed.
    """

    def __init__(self, factory: PartFactory, store: Store, *, workers: int = 1) -> None:
        self._factory = factory
        self._store = store
        self._workers = workers
        #: Until when each expectation is used, and the expectation.
        self._outlooks: dict[_Kind, tuple[float, Outlook | None]] = {}
        self._making: dict[_Kind, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._paces: dict[str, tuple[float, RunPace | None]] = {}
        self._failed: str | None = None

    async def close(self) -> None:
        """Stop forecasts that are being made."""
        await cancel_and_wait(*self._making.values())

    async def seconds_left(
        self, runs: Sequence[Run], *, patience: float = 0.0
    ) -> Mapping[str, float]:
        """Seconds until each running run ends, if that is known.

        Args:
            runs: any runs; those that are not running have no estimate.
            patience: seconds to wait for a forecast. If it takes longer, it is made in the
                background, and estimates are known soon.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        running = {run.run_id: run for run in runs if run.status == "running"}
        paces = await self._paces_of(list(running))
        found: dict[str, float] = {}
        for pace in paces:
            kind = self._steps_of(running[pace.run_id]), 1
            outlook = await self.outlook(*kind, patience=patience)
            left = pace.pending * len(kind[0]) - pace.saved
            if outlook is not None and left > 0:
                found[pace.run_id] = outlook.seconds_left(
                    made=pace.made, left=left, elapsed=pace.seconds
                )
        return found

    async def outlook(
        self, steps: tuple[str, ...], roadmaps: int, *, patience: float = 0.0
    ) -> Outlook | None:
        """What is expected of runs with these steps; ``None`` if it is not known (yet).

        Args:
            steps: names of the steps.
            roadmaps: number of roadmaps of equal size that begin together.
            patience: seconds to wait for it.
        """
        loop, kind = asyncio.get_running_loop(), (steps, max(1, min(roadmaps, _MOST_ROADMAPS)))
        until, outlook = self._outlooks.get(kind, (-math.inf, None))
        if kind not in self._making and loop.time() >= until:
            self._making[kind] = loop.create_task(self._make(kind))
            self._making[kind].add_done_callback(lambda _: self._making.pop(kind, None))
        if outlook is None and kind in self._making and patience > 0:
            await asyncio.wait({self._making[kind]}, timeout=patience)
            _, outlook = self._outlooks.get(kind, (0.0, None))
        return outlook

    def _steps_of(self, run: Run) -> tuple[str, ...]:
        return tuple(self._factory.settings.run.steps) if run.steps is None else run.steps

    async def _paces_of(self, run_ids: Sequence[str]) -> Sequence[RunPace]:
        """How far runs are, at most ``FRESH`` seconds old."""
        now = asyncio.get_running_loop().time()
        self._paces = {id_: one for id_, one in self._paces.items() if now - one[0] < FRESH}
        missing = [run_id for run_id in run_ids if run_id not in self._paces]
        if missing:
            read = {one.run_id: one for one in await self._store.run_paces(missing)}
            self._paces |= {run_id: (now, read.get(run_id)) for run_id in missing}
        known = (self._paces[run_id] for run_id in run_ids)
        return [pace for _, pace in known if pace is not None]

    async def _make(self, kind: _Kind) -> None:
        outlook, lasts = None, _RETRY
        try:
            async with self._one_at_a_time:
                settings = self._factory.settings
                inputs = await recorded(given(), self._store, settings, runs=_PAST_RUNS)
                if not inputs.seconds:
                    inputs = given()
                outlook = await self._forecast(kind, inputs)
            lasts = _OUTLOOK_AGE if inputs.seconds else _RETRY
        except Exception as error:  # noqa: BLE001 - a forecast must not disturb what it forecasts
            if str(error) != self._failed:
                log.info("the end of runs cannot be estimated: %s", error)
            self._failed = str(error)
        if len(self._outlooks) >= _KEPT:
            self._outlooks.clear()
        self._outlooks[kind] = asyncio.get_running_loop().time() + lasts, outlook

    async def _forecast(self, kind: _Kind, inputs: Inputs) -> Outlook | None:
        steps, roadmaps = kind
        courses: list[Course] = []
        for total in (_SMALL, _LARGE):
            concepts = max(1, total // roadmaps)
            planner = Planner(
                factory=self._factory,
                roadmaps=[synthetic_roadmap(one, concepts) for one in range(1, roadmaps + 1)],
                inputs=inputs,
                workers=self._workers,
                draws=_DRAWS,
            )
            course = Course.of(concepts * roadmaps, await planner.saves(steps))
            if course is None:
                return None
            courses.append(course)
        small, large = courses
        source = inputs.sources[0].partition(": ")[2]
        return Outlook(small, large, steps=len(steps), source=source)


async def estimate(factory: PartFactory, store: Store, runs: Sequence[Run]) -> Mapping[str, float]:
    """Seconds until each running run ends, for a command that asks once."""
    if not any(run.status == "running" for run in runs):
        return {}
    estimator = Estimator(factory, store)
    try:
        return await estimator.seconds_left(runs, patience=PATIENCE)
    finally:
        await estimator.close()
