"""What workers do for budgets: settle the calls of lost workers, and continue runs."""

import logging

from paceline.errors import PartUnavailable
from paceline.generation.parts import Parts

log = logging.getLogger("paceline.budget")


class BudgetWatch:
    """Looks at budgets every few seconds; does nothing if no strategy reserves money."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._after = ""

    async def look(self) -> None:
        """Settle what lost workers have reserved, then queue runs if their budget has room again.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        parts, limits = self._parts, self._parts.strategy.budget_limits
        if limits is None:
            return
        settled = await parts.store.settle_lost(lease=parts.settings.run.lease)
        if settled:
            log.info("calls of lost workers count as spent, as they were reserved: %d", settled)
        queued, self._after = await parts.store.resume_affordable(
            parts.settings.executor, limits, after=self._after
        )
        for run_id in queued:
            log.info("run %s continues: its budget allows it", run_id, extra={"run_id": run_id})
            try:
                await parts.executor.submit(run_id)
            except PartUnavailable as error:
                log.warning("run %s waits in the store: %s", run_id, error)
