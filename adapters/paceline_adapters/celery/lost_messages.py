"""Runs that wait in the store while the broker knows nothing of them are submitted again."""

import asyncio
import logging

from paceline import PacelineError, Store

from paceline_adapters.celery.executor import CeleryExecutor
from paceline_adapters.celery.plugin import NAME

log = logging.getLogger("paceline.recovery")

#: Seconds between two looks.
EVERY = 5.0
_PAGE = 100


async def look_for_lost_messages(executor: CeleryExecutor, store: Store) -> None:
    """Look at the broker for ever.

    Messages are lost when the broker was flushed (a mark that we leave there is gone), and
    when it was away while a run was handed back: the run waits, and nothing that could be
    it is in the queue or in any worker's hands, at two looks in a row.
    """
    waiting: set[str] = set()
    # Where no worker was before us there is no mark, and nothing was lost.
    first = True
    while True:
        try:
            flushed, empty = await executor.look_at_broker()
            flushed, first = flushed and not first, False
            queued = await _queued(store) if flushed or empty else set[str]()
            lost = queued if flushed else queued & waiting
            for run_id in sorted(lost):
                log.info(
                    "run %s waits, but not in the broker: submitted again",
                    run_id,
                    extra={"run_id": run_id},
                )
                await executor.submit(run_id)
            waiting = queued - lost
        except PacelineError as error:
            log.debug("no look at the broker: %s", error)
        await asyncio.sleep(EVERY)


async def _queued(store: Store) -> set[str]:
    found: set[str] = set()
    before = None
    while True:
        page = await store.runs(status=("queued",), limit=_PAGE, before=before)
        found.update(run.run_id for run in page if run.executor == NAME)
        if len(page) < _PAGE:
            return found
        before = page[-1].run_id
