"""Runs whose owner is gone go back into the queue. No process is in charge of it: all look."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from paceline.contracts.executor import Executor
from paceline.contracts.records import RunStatus
from paceline.contracts.store import Store
from paceline.settings.model import Settings

log = logging.getLogger("paceline.recovery")


@dataclass(frozen=True, slots=True)
class Recovered:
    """A run that had lost its owner, and what became of it.

    Attributes:
        run_id: the run.
        status: ``queued``; ``failed`` when it lost too many owners and saved nothing; or
            ``cancelled`` when that was asked for.
    """

    run_id: str
    status: RunStatus


async def recover(
    store: Store, settings: Settings, executor: Executor | None, *, run_id: str | None = None
) -> list[Recovered]:
    """Queue again what lost its owner.

    An owner is gone when its lease has ended, or at once when it was a process of this host
    that no longer lives.

    Args:
        store: where runs and owners stand.
        settings: how many owners a run may lose, and the executor: runs of another one are
            left to its own workers.
        executor: where runs are submitted; ``None`` where the caller claims them itself.
        run_id: look at this run alone.

    Returns:
        The runs that had no owner any more; those that ended here are among them.
    """
    recovered: list[Recovered] = []
    for orphan in await store.orphans(run_id=run_id):
        gone = orphan.lapsed or (orphan.owner is not None and orphan.owner.is_gone())
        if not gone or (run_id is None and orphan.executor != settings.executor):
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

    A broker may have lost what it was given: it was emptied, or it was away when a run was
    handed back.
    """
    last = None
    while page := await store.runs(status=("queued",), before=last):
        for run in page:
            if run.executor == settings.executor:
                yield run.run_id
        last = page[-1].run_id
