"""Submits runs again that are queued in the store but have no message in the broker."""

import asyncio
import logging
from typing import NamedTuple, Protocol, runtime_checkable

from paceline import PacelineError
from paceline.contracts.worker import RunWorker

log = logging.getLogger("paceline.recovery")

#: Seconds between two checks.
INTERVAL = 5.0


class BrokerState(NamedTuple):
    """What one check of the broker found.

    Attributes:
        flushed: whether the broker was flushed since the last check by any worker.
        empty: whether no message waits in the queue.
    """

    flushed: bool
    empty: bool


@runtime_checkable
class Broker(Protocol):
    """An executor with a broker that can lose messages."""

    async def broker_state(self) -> BrokerState:
        """Check whether the broker was flushed or is empty."""
        ...

    async def submit(self, run_id: str) -> None:
        """Send a message for a run."""
        ...


async def resubmit_lost_messages(broker: Broker, worker: RunWorker) -> None:
    """Check the broker for ever, and submit the runs again that have lost their message.

    There are three ways to lose a message. If the broker is flushed, the mark that we left in
    it is gone. If the broker was unreachable when a run was handed back, the message was never
    sent. If a worker is killed before it claims a run, Celery keeps the message of that worker
    until ``visibility_timeout``. In the last two cases the run is queued while no message waits
    and a worker has room for it, in two checks in a row. A message too many does no harm.
    """
    without_message: set[str] = set()
    # Before the first worker ever starts, there is no mark and nothing can be lost.
    first = True
    while True:
        try:
            flushed, empty = await broker.broker_state()
            flushed, first = flushed and not first, False
            queued = set[str]()
            if flushed or (empty and await _has_room(worker)):
                queued = {run_id async for run_id in worker.queued_runs()}
            lost = queued if flushed else queued & without_message
            for run_id in sorted(lost):
                log.info(
                    "run %s is queued but has no message in the broker: submitting it again",
                    run_id,
                    extra={"run_id": run_id},
                )
                await broker.submit(run_id)
            without_message = queued - lost
        except PacelineError as error:
            log.debug("cannot check the broker for lost messages: %s", error)
        await asyncio.sleep(INTERVAL)


async def _has_room(worker: RunWorker) -> bool:
    """Whether a worker of the same executor could begin a run."""
    executor = worker.record.executor
    return any(
        len(other.figures.runs) < other.concurrency
        for other in await worker.store.workers()
        if other.executor == executor
    )
