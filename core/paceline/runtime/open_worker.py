"""Opening a worker: its record, its part of the connections, its parts and its heart."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from paceline import log_context
from paceline.contracts.identity import new_worker_id, this_process
from paceline.contracts.records import WorkerRecord
from paceline.contracts.store import Store
from paceline.errors import PartUnavailable, SettingsError
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import Parts, open_parts, open_store
from paceline.runtime.worker import Worker
from paceline.settings.model import Settings
from paceline.tasks import cancel_and_wait

log = logging.getLogger("paceline.runtime.worker")


def worker_records(
    settings: Settings, *, executor: str, concurrency: int, processes: int = 1
) -> list[WorkerRecord]:
    """Records of worker processes of this host that are about to start."""
    identity = this_process()
    return [
        WorkerRecord(
            worker_id=new_worker_id(),
            identity=identity,
            executor=executor,
            concurrency=concurrency,
            pool_max=settings.store.pool_size + settings.store.max_overflow,
        )
        for _ in range(processes)
    ]


async def reserve_connections(
    settings: Settings, plugins: Plugins, records: Sequence[WorkerRecord]
) -> tuple[int, str | None]:
    """Register processes and give each its part of the database's connections.

    Returns:
        The most connections that each may open, and a warning where that is less than set.

    Raises:
        BudgetError: they do not fit; the text shows the sum.
        PartUnavailable: the database cannot be reached.
    """
    async with open_store(settings, plugins) as store:
        return await store.admit_workers(records)


@asynccontextmanager
async def open_worker(
    settings: Settings, plugins: Plugins, record: WorkerRecord, *, pool_limit: int | None
) -> AsyncGenerator[Worker]:
    """A registered worker with a beating heart; drained and deregistered in the end.

    Args:
        settings: the effective settings.
        plugins: where parts come from.
        record: this worker, with connections reserved.
        pool_limit: those connections.
    """
    async with open_parts(
        settings, plugins, worker_id=record.worker_id, pool_limit=pool_limit
    ) as parts:
        await _refuse_split_limits(parts, record)
        if pool_limit is not None:
            record = replace(record, pool_max=pool_limit)
        await parts.store.register(record)
        log_context.bind(worker_id=record.worker_id)
        worker = Worker(parts, record)
        heart = asyncio.get_running_loop().create_task(worker.beat_for_ever())
        try:
            yield worker
        finally:
            await worker.stop()
            await cancel_and_wait(heart)
            await _leave(parts.store, record)


async def _refuse_split_limits(parts: Parts, record: WorkerRecord) -> None:
    """A limit over all workers that is counted in each one's memory is no limit."""
    if not parts.strategy.shared or parts.settings.ledger_kind != "memory":
        return
    siblings = {record.identity, this_process()}
    others = [w for w in await parts.store.workers() if w.identity not in siblings]
    mine = (record.identity.started, record.worker_id)
    # Of two that start at once the later one gives way, not both.
    earlier = [other for other in others if (other.identity.started, other.worker_id) < mine]
    if earlier:
        raise SettingsError(
            f"strategy {'/'.join(parts.settings.strategy)} limits all workers together, but "
            f"worker {earlier[0].worker_id} runs already and redis.url is not set, so they "
            "cannot share a limit: set redis.url"
        )


async def _leave(store: Store, record: WorkerRecord) -> None:
    try:
        await store.deregister(record.worker_id)
    except PartUnavailable as error:
        log.warning("the worker stays registered until it is seen to be gone: %s", error)
