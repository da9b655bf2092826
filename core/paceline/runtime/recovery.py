"""Runs that lost their worker are queued again. Every worker looks for them."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from paceline.contracts.executor import Executor
from paceline.contracts.storage.records import RunStatus
from paceline.contracts.storage.store import Store
from paceline.settings.model import Settings

log = logging.getLogger("paceline.recovery")


@dataclass(frozen=True, slots=True)
class Recovered:
    """A run that had lost its worker.

    Attributes:
        run_id: the run.
        status: its new status: ``queued``; ``failed`` if it lost too many workers without a
            new artifact; ``cancelled`` or ``paused`` if that was requested.
    """

    run_id: str
    status: RunStatus


async def recover(
    store: Store, settings: Settings, executor: Executor | None, *, run_id: str | None = None
) -> list[Recovered]:
    """Queue the runs again that lost their worker.

    A worker is gone if its lease has expired, or at once if it was a process of this host
    that has exited. Runs of other executors are left to their own workers, unless ``run_id``
    names the only run to look at. ``executor`` is ``None`` if the caller claims the runs itself.

    Returns:
        The runs that had lost their worker, with those that ended because of it.
    """
    recovered: list[Recovered] = []
    for orphan in await store.orphans(run_id=run_id):
        if not orphan.is_lost() or (run_id is None and orphan.executor != settings.executor):
            continue
        about = {"run_id": orphan.run_id}
        status = await store.requeue_orphan(orphan, poison_after=settings.run.poison_after)
        if status == "queued":
            log.info("run %s lost its worker and is queued again", orphan.run_id, extra=about)
            if executor is not None:
                await executor.submit(orphan.run_id)
        elif status is not None:
            log.warning("run %s lost its worker and is %s", orphan.run_id, status, extra=about)
        if status is not None:
            recovered.append(Recovered(orphan.run_id, status))
    return recovered


async def queued_runs(store: Store, settings: Settings) -> AsyncIterator[str]:
    """Ids of every queued run of the executor, for a worker that compares them with its queue.

    A broker loses messages if it is flushed, or if it was unreachable when a run was handed
    back.
    """
    last = None
    while page := await store.runs(status=("queued",), before=last):
        for run in page:
            if run.executor == settings.executor:
                yield run.run_id
        last = page[-1].run_id
