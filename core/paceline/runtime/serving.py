"""A worker whose queue is the store: what executors without a broker serve with."""

import asyncio
import logging

from paceline.plugins.context import Context
from paceline.runtime.open_worker import open_worker, reserve_connections, worker_records
from paceline.runtime.shutdown import serve_until_signalled

log = logging.getLogger("paceline.runtime.worker")


async def serve_from_store(context: Context, executor: str, concurrency: int) -> int:
    """Claim queued runs of an executor and work on them until SIGINT or SIGTERM.

    Args:
        context: the process's context.
        executor: the name that runs were submitted under.
        concurrency: runs at once.

    Returns:
        The process's exit code.
    """
    settings, plugins = context.settings, context.plugins
    records = worker_records(settings, executor=executor, concurrency=concurrency)
    limit, warning = await reserve_connections(settings, plugins, records)
    if warning:
        log.warning(warning)
    async with open_worker(settings, plugins, records[0], pool_limit=limit) as worker:
        log.info("worker %s is ready: %d roadmaps at once", records[0].worker_id, concurrency)
        serving = asyncio.create_task(worker.serve(executor))
        return await serve_until_signalled(worker, serving)
