"""Both layers in numbers: now, and over the last minutes."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from paceline import PacelineError, Store, Worker
from paceline.client.totals import Totals
from paceline.contracts.admission.limit_figures import LimitFigures, summed_up

from paceline_adapters.web.metrics import Metrics

log = logging.getLogger("paceline.web")

#: Seconds between two samples.
EVERY = 1.0
#: Number of samples to keep: five minutes.
KEPT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Both layers at one moment.

    Attributes:
        at: the time, in UTC.
        limits: the limits, summed up over the workers.
    """

    at: datetime
    workers: int
    totals: Totals
    limits: Sequence[LimitFigures] = ()

    def to_json(self) -> dict[str, object]:
        """The sample for the API; the names are stable."""
        totals = self.totals
        return {
            "at": self.at.isoformat(),
            "workers": self.workers,
            "roadmaps": totals.roadmaps_active,
            "concepts": totals.concepts,
            "calls": totals.calls,
            "connections": totals.connections,
            "connections_max": totals.connections_max,
            "events_per_second": round(totals.events_per_second, 1),
        }


class LiveFigures:
    """Samples what the workers report.

    Args:
        worker: the worker of this process, if there is one; its figures are the newest.
        metrics: counts what the workers report, also of those that live for seconds only.
    """

    def __init__(self, store: Store, worker: Worker | None, metrics: Metrics) -> None:
        self._store = store
        self._worker = worker
        self._metrics = metrics
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._sampled = asyncio.Event()
        self.now = Sample(at=datetime.now(UTC), workers=0, totals=Totals())

    @property
    def history(self) -> Sequence[Sample]:
        """Samples of the last minutes, oldest first."""
        return tuple(self._samples)

    async def next(self) -> Sample:
        """Wait for the next sample."""
        await self._sampled.wait()
        return self.now

    async def sample_forever(self) -> None:
        """Take samples until cancelled; none while the store cannot be reached."""
        while True:
            try:
                self.now = await self._sample()
            except PacelineError as error:
                log.debug("cannot read the figures: %s", error)
            else:
                self._samples.append(self.now)
                sampled, self._sampled = self._sampled, asyncio.Event()
                sampled.set()
            await asyncio.sleep(EVERY)

    async def _sample(self) -> Sample:
        totals, here = Totals(), self._worker
        limits: list[LimitFigures] = []
        workers = await self._store.workers()
        self._metrics.workers_read(workers)
        for record in workers:
            newest = here is not None and record.worker_id == here.record.worker_id
            figures = here.heartbeat.figures() if here and newest else record.figures
            totals.add(figures, record.pool_max)
            limits += figures.limits
        return Sample(
            at=datetime.now(UTC), workers=len(workers), totals=totals, limits=summed_up(limits)
        )
