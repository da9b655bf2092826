"""Opening a worker: its record, its database connections, its parts and its heartbeat."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from paceline import log_context
from paceline.contracts.identity import new_worker_id, this_process
from paceline.contracts.storage.records import WorkerRecord
from paceline.contracts.storage.store import Store
from paceline.contracts.worker import Reservation
from paceline.errors import PartUnavailable, SettingsError, StoreLost
from paceline.generation.parts import Parts
from paceline.runtime.part_factory import PartFactory
from paceline.runtime.purging import Purger
from paceline.runtime.retention import Retention
from paceline.runtime.worker import Worker
from paceline.tasks import cancel_and_wait, start_background

log = logging.getLogger("paceline.worker")

#: Seconds that a stopping worker waits for sinks to accept what they are being given.
LAST_BATCH = 5.0


async def reserve(factory: PartFactory, *, concurrency: int, processes: int = 1) -> Reservation:
    """Register worker processes and reserve their connections, as ``App.reserve`` documents."""
    settings = factory.settings
    identity = this_process()
    records = [
        WorkerRecord(
            worker_id=new_worker_id(),
            identity=identity,
            executor=settings.executor,
            concurrency=concurrency,
            pool_max=settings.store.pool_size + settings.store.max_overflow,
        )
        for _ in range(processes)
    ]
    try:
        async with factory.open_store() as store:
            pool_limit, warning = await store.admit_workers(records)
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):  # it may be committed
        await release(factory, records)
        raise
    if warning:
        log.warning(warning)
    return Reservation(records, pool_limit)


async def release(factory: PartFactory, records: Sequence[WorkerRecord]) -> None:
    """Deregister worker processes that did not start."""
    try:
        async with factory.open_store() as store:
            await _deregister(store, *records)
    except PartUnavailable as error:
        log.warning("a worker that did not start stays registered: %s", error)


@asynccontextmanager
async def open_worker(
    factory: PartFactory, record: WorkerRecord, *, pool_limit: int | None
) -> AsyncGenerator[Worker]:
    """Open a registered worker that beats; it is drained and deregistered at the end."""
    async with factory.open_parts(worker_id=record.worker_id, pool_limit=pool_limit) as parts:
        await _refuse_split_limits(parts, record)
        # Before the first run, because a pause survives restarts.
        parts.controls.update(await parts.store.controls())
        context = factory.context(worker_id=record.worker_id, pool_limit=pool_limit)
        couriers = factory.couriers(parts.store, context, parts.gauges)
        if pool_limit is not None:
            record = replace(record, pool_max=pool_limit)
        await parts.store.register(record)
        log_context.bind(worker_id=record.worker_id)
        worker = Worker(parts, record, couriers)
        heartbeat = asyncio.get_running_loop().create_task(worker.heartbeat.run())
        couriers.start()
        purger = Purger(parts.store, parts.bus, parts.executor)
        retention = start_background(Retention(purger, parts.settings.retention.ended_runs).run())
        try:
            yield worker
        finally:
            await cancel_and_wait(retention)
            await worker.stop()
            await couriers.stop(LAST_BATCH)
            await cancel_and_wait(heartbeat)
            await _deregister(parts.store, record)


async def _refuse_split_limits(parts: Parts, record: WorkerRecord) -> None:
    """Refuse to start if a limit over all workers would be counted per process."""
    shared = parts.strategy.shared or bool(parts.settings.resources)
    if not shared or parts.settings.ledger_kind != "memory":
        return
    siblings = {record.identity, this_process()}
    others = [w for w in await parts.store.workers() if w.identity not in siblings]
    mine = (record.identity.started, record.worker_id)
    # If two workers start at once, only the later one stops.
    earlier = [other for other in others if (other.identity.started, other.worker_id) < mine]
    if earlier:
        limits = f"strategy {'/'.join(parts.settings.strategy)} limits"
        if not parts.strategy.shared:
            limits = f"resources {', '.join(parts.settings.resources)} limit"
        raise SettingsError(
            f"{limits} all workers together, but "
            f"worker {earlier[0].worker_id} is already running and redis.url is not set, so the "
            "workers cannot share a limit: set redis.url"
        )


async def _deregister(store: Store, *records: WorkerRecord) -> None:
    try:
        for record in records:
            await store.deregister(record.worker_id)
    except StoreLost:
        pass  # its registration is lost as well
    except PartUnavailable as error:
        log.warning("the worker stays registered until its beats are overdue: %s", error)
