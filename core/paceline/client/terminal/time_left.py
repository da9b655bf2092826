"""How long the runs of a command still take, in words."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from paceline.client.terminal.output import duration
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.store import Store
from paceline.errors import PartUnavailable
from paceline.planning.estimator import FRESH, Estimator
from paceline.runtime.part_factory import PartFactory


class TimeLeft:
    """Estimates when all runs of a command have ended.

    Args:
        steps: names of the steps of the runs.
        workers: number of worker processes, if the executor is distributed.
    """

    def __init__(
        self,
        factory: PartFactory,
        store: Store,
        runs: Sequence[Run],
        steps: Sequence[str],
        *,
        workers: int,
    ) -> None:
        self._estimator = Estimator(factory, store, workers=workers)
        self._store = store
        self._steps = tuple(steps)
        #: Artifacts that were made and that are left, by run.
        self._work: dict[str, tuple[int, int]] = {run.run_id: (0, 0) for run in runs}
        self._started: float | None = None

    async def show_forever(self, show: Callable[[str], None]) -> None:
        """Pass the time left to ``show`` every few seconds, until cancelled."""
        try:
            while self._work:
                with suppress(PartUnavailable):  # the display of the figures reports that
                    show(await self._sentence())
                await asyncio.sleep(FRESH)
        finally:
            await self._estimator.close()

    async def _sentence(self) -> str:
        outlook = await self._estimator.outlook(self._steps, len(self._work), patience=FRESH)
        if outlook is None:
            return ""
        paces = {one.run_id: one for one in await self._store.run_paces(list(self._work))}
        now, longest = asyncio.get_running_loop().time(), 0.0
        for run_id, (made, before) in self._work.items():
            pace = paces.get(run_id)
            if pace is None:  # it has ended
                self._work[run_id] = made + before, 0
            else:
                open_ = max(0, pace.pending * len(self._steps) - pace.saved)
                # A run that is claimed again begins to count anew, but its work was done.
                self._work[run_id] = max(made, pace.made), open_
                longest = max(longest, pace.seconds)
        if self._started is None and longest > 0:
            self._started = now - longest
        made = sum(one for one, _ in self._work.values())
        left = sum(one for _, one in self._work.values())
        if not left:
            return ""
        elapsed = 0.0 if self._started is None else now - self._started
        seconds = outlook.seconds_left(made=made, left=left, elapsed=elapsed)
        if seconds < 1:
            return ""
        basis = "" if made else f" by {outlook.source}"
        return f"about {duration(seconds)} left{basis}"
