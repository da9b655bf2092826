"""The heartbeat of a worker: it reports, renews leases, and learns what changed."""

import asyncio
import logging
from functools import cache
from importlib import metadata
from typing import NoReturn, Protocol

from paceline.contracts.controls import Controls
from paceline.contracts.storage.records import Figures, WorkerRecord
from paceline.errors import PacelineError, PartUnavailable, StoreLost
from paceline.generation.parts import Parts
from paceline.runtime.announcements import Announcements
from paceline.runtime.outage_log import OutageLog
from paceline.runtime.run_task import Stop

log = logging.getLogger("paceline.worker")

#: Maximum number of seconds between beats: it bounds how late a cancel request arrives and a
#: dead neighbour is noticed.
BEAT = 2.0
#: Minimum number of beats within one lease: two of them may be late or lost.
BEATS_IN_A_LEASE = 4
#: Number of beats between two searches for runs without an owner.
RECOVER_EVERY = 3


@cache
def _version() -> str:
    """The version of paceline in this process."""
    return metadata.version("paceline")


class RunStopper(Protocol):
    """What the heartbeat needs of its worker."""

    def stop_run(self, run_id: str, why: Stop) -> None:
        """Stop one run if the worker works on it."""
        ...

    def stop_runs(self, why: Stop) -> None:
        """Stop every run of the worker."""
        ...

    def drain_run(self, run_id: str) -> None:
        """Start no further call of one run if the worker works on it."""
        ...

    def controls_changed(self, before: Controls) -> None:
        """Apply controls that have replaced ``before``."""
        ...

    def drain_requested(self) -> None:
        """Drain the worker, because an operator asked for it."""
        ...

    async def resume_held(self) -> None:
        """Queue runs of tenants again that are no longer paused."""
        ...

    async def write_charges(self) -> None:
        """Record what runs spent while the store was unreachable."""
        ...

    async def recover(self) -> None:
        """Queue the runs again that have lost their worker."""
        ...


class Heartbeat:
    """Beats for one worker, and stops its runs if it must."""

    def __init__(
        self, parts: Parts, record: WorkerRecord, worker: RunStopper, store_outage: OutageLog
    ) -> None:
        self._parts = parts
        self._record = record
        self._worker = worker
        self._store_outage = store_outage
        self._beaten_at = asyncio.get_running_loop().time()
        self._events_at_beat = 0
        self._failure: PacelineError | None = None
        self._announcements = Announcements(parts.bus)

    async def run(self) -> None:
        """Beat for ever."""
        async with self._announcements:
            await self._beat_for_ever()

    async def _beat_for_ever(self) -> None:
        # At once: a worker that replaces a killed one continues the runs of that one.
        await self._worker.recover()
        beats = 0
        every = min(BEAT, self._parts.settings.run.lease / BEATS_IN_A_LEASE)
        while True:
            await self._announcements.wait(every)
            try:
                await self._beat()
            except PacelineError as error:
                self._failure = error
                if isinstance(error, StoreLost):
                    self._worker.stop_runs("lost")
                    continue
                self._store_outage.failed(error)
                self._stop_lapsed_runs()
                continue
            self._failure = None
            self._store_outage.recovered()
            beats += 1
            if beats % RECOVER_EVERY == 0:
                await self._worker.recover()

    async def until_cut_off(self, seconds: float) -> NoReturn:
        """Wait until the store has accepted no beat for ``seconds``.

        Raises:
            PartUnavailable: the store accepts no writes, although reads may succeed.
            StoreLost: the store is gone, at once.
        """
        while True:
            await asyncio.sleep(BEAT)
            silent = asyncio.get_running_loop().time() - self._beaten_at
            if isinstance(self._failure, StoreLost):
                raise self._failure
            if self._failure is not None and silent > seconds:
                raise PartUnavailable(str(self._failure))

    async def _beat(self) -> None:
        answer = await self._parts.store.beat(
            self._record.worker_id, self.figures(), lease=self._parts.settings.run.lease
        )
        self._beaten_at = asyncio.get_running_loop().time()
        self._events_at_beat = self._parts.gauges.events
        for run_id in answer.lost | answer.cancelled:
            self._worker.stop_run(run_id, "lost" if run_id in answer.lost else "cancelled")
        for run_id in answer.paused:
            self._worker.drain_run(run_id)
        if answer.controls != self._parts.controls.now.version:
            await self._read_controls()
        if answer.drain:
            self._worker.drain_requested()
        await self._worker.write_charges()

    async def _read_controls(self) -> None:
        controls = self._parts.controls
        before = controls.now
        controls.update(await self._parts.store.controls())
        self._worker.controls_changed(before)
        if before.pauses:
            await self._worker.resume_held()

    def _stop_lapsed_runs(self) -> None:
        """Stop paying for runs that another worker may own by now."""
        silent = asyncio.get_running_loop().time() - self._beaten_at
        if silent > self._parts.settings.run.lease:
            self._worker.stop_runs("lost")

    def figures(self) -> Figures:
        """What the process is doing now."""
        gauges, pool = self._parts.gauges, self._parts.store.pool()
        seconds = max(asyncio.get_running_loop().time() - self._beaten_at, 0.1)
        return Figures(
            runs=tuple(sorted(gauges.runs)),
            concepts=gauges.concepts,
            calls=gauges.calls,
            connections=pool.in_use,
            checkout_waits=pool.waits,
            checkout_timeouts=pool.timeouts,
            busy_waits=pool.busy,
            events=gauges.events,
            events_per_second=(gauges.events - self._events_at_beat) / seconds,
            strategy=self._parts.explain_limits(),
            trouble=dict(gauges.trouble),
            in_flight={run_id: one.spent() for run_id, one in gauges.in_flight.items()},
            fallbacks=gauges.fallbacks,
            version=_version(),
            limits=self._parts.limits(),
            open_steps=self._parts.steps_in_work(),
            saved=gauges.saved,
            waiting=gauges.waiting,
            waits={level: one.durations() for level, one in gauges.waits.items()},
            attempts={key: one.counts() for key, one in gauges.attempts.items()},
        )
