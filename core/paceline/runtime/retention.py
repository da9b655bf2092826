"""Every worker process purges runs that have ended long ago, in the background."""

import asyncio
import logging
import random

from paceline.errors import PacelineError, PartUnavailable
from paceline.runtime.purging import PAGE, Purger
from paceline.text import count

log = logging.getLogger("paceline.retention")

#: Seconds between two passes of a process; each pause is up to a quarter shorter or longer.
INTERVAL = 600.0
#: Seconds between two pages of a pass that has more to purge. Claims and saves run meanwhile.
PAUSE = 5.0
#: An age that no run has: without ``retention.ended_runs``, a pass only completes purges that
#: were interrupted.
_NEVER = 100 * 365 * 24 * 3600.0


class Retention:
    """Purges what ended longer ago than ``ended_runs`` seconds.

    Passes of several processes may overlap. Each run is deleted once, and the one that comes
    second finds nothing.
    """

    def __init__(self, purger: Purger, ended_runs: float | None) -> None:
        self._purger = purger
        self._age = _NEVER if ended_runs is None else ended_runs

    async def run(self) -> None:
        """Make passes until the task is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL * random.uniform(0.75, 1.25))  # noqa: S311
            try:
                await self.make_pass()
            except PartUnavailable as error:
                log.debug("runs are purged when it is reachable again: %s", error)
            except PacelineError as error:
                log.warning("runs could not be purged: %s", error)

    async def make_pass(self) -> int:
        """Purge until no run is old enough; returns the number of runs."""
        runs = artifacts = 0
        try:
            while True:
                before = runs
                async for purged in self._purger.purge_page(older_than=self._age):
                    runs += 1
                    artifacts += purged.artifacts
                if runs - before < PAGE:
                    return runs
                await asyncio.sleep(PAUSE)
        finally:
            if runs:
                log.info("purged %s with %s", count(runs, "run"), count(artifacts, "artifact"))
