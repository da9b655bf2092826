"""Both layers in numbers: now, and over the last minutes."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from paceline import PacelineError, Store
from paceline.client.totals import Totals
from paceline.runtime.worker import Worker

log = logging.getLogger("paceline.web")

#: Seconds between two samples.
EVERY = 1.0
#: Samples kept: five minutes of them.
KEPT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Both layers at one moment.

    Attributes:
        at: when, UTC.
        workers: workers that beat.
        totals: their sums.
        sentence: the sums in words.
    """

    at: datetime
    workers: int
    totals: Totals
    sentence: str

    def to_json(self) -> dict[str, object]:
        """The sample for the API; the names are stable."""
        totals = self.totals
        return {
            "at": self.at.isoformat(),
            "workers": self.workers,
            "roadmaps": totals.roadmaps,
            "concepts": totals.concepts,
            "calls": totals.calls,
            "connections": totals.connections,
            "connections_max": totals.limit,
            "events_per_second": round(totals.events, 1),
        }


class Figures:
    """Samples what the workers report.

    Args:
        store: where workers beat.
        worker: the one of this process, whose figures are at hand.
    """

    def __init__(self, store: Store, worker: Worker | None) -> None:
        self._store = store
        self._worker = worker
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._sampled = asyncio.Event()
        self.now = _sample(0, Totals())

    @property
    def history(self) -> Sequence[Sample]:
        """Samples of the last minutes, oldest first."""
        return tuple(self._samples)

    async def news(self) -> Sample:
        """Wait for the next sample."""
        await self._sampled.wait()
        return self.now

    async def gather_for_ever(self) -> None:
        """Take samples until cancelled; while the store is away there is none."""
        while True:
            try:
                self.now = await self.look()
            except PacelineError as error:
                log.debug("no figures: %s", error)
            else:
                self._samples.append(self.now)
                told, self._sampled = self._sampled, asyncio.Event()
                told.set()
            await asyncio.sleep(EVERY)

    async def look(self) -> Sample:
        """A sample of this moment.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        totals = Totals()
        workers = await self._store.workers()
        mine = None if self._worker is None else self._worker.record.worker_id
        for record in workers:
            here = self._worker is not None and record.worker_id == mine
            figures = self._worker.figures() if self._worker and here else record.figures
            totals.add(figures, record.pool_max)
        return _sample(len(workers), totals)


def _sample(workers: int, totals: Totals) -> Sample:
    return Sample(at=datetime.now(UTC), workers=workers, totals=totals, sentence=totals.sentence())
