"""Following a run to its end, even if the bus is unreachable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from paceline.contracts.events import Event, EventBus
from paceline.contracts.storage.records import ENDED, Run
from paceline.contracts.storage.store import Store
from paceline.errors import PartUnavailable, RunNotFound, StoreLost

#: Seconds without an event after which a follower reads the run from the store.
SILENCE = 5.0
#: Seconds between two reads of the store if there is no bus to listen to.
POLL = 0.5
#: Seconds that the store may be unreachable before a follower fails.
MAX_OUTAGE = 120.0
#: Reason in the last event of a run that was purged.
PURGED_REASON = "the run was purged"


async def follow(
    store: Store, bus: EventBus | None, run_id: str, *, after: str | None = None
) -> AsyncIterator[Event]:
    """Events of a run, as ``Client.follow`` documents them.

    ``bus`` is ``None`` if it does not carry the events of this run here.
    """
    run = await store.run(run_id)
    if after is None:
        yield state_of(run)
    if run.status in ENDED:
        if after is not None:
            yield state_of(run)
        return
    events: asyncio.Queue[Event] = asyncio.Queue()
    listener = None if bus is None else asyncio.create_task(_listen(bus, run_id, after, events))
    reader = _PatientReader(store)
    try:
        while True:
            event = await _next(events, SILENCE if listener and not listener.done() else POLL)
            if event is None:
                now = await reader.read(run) or run
                if (now.status, now.finished) != (run.status, run.finished):
                    run = now
                    event = state_of(now)
            elif event.type == "resync_required":
                yield event  # some events are lost; a snapshot follows
                run = await reader.read(run) or run
                event = state_of(run)
            if event is not None and event.fence >= run.fence:
                yield event
                if event.terminal:
                    return
    finally:
        if listener is not None:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener


class _PatientReader:
    """Reads runs from a store that may be unreachable for a while."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failing_since: float | None = None

    async def read(self, last: Run) -> Run | None:
        """The run that was read last, as it is now; ``None`` if the store is unreachable."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            run = await self._store.run(last.run_id)
        except StoreLost:
            raise
        except RunNotFound:
            return as_purged(last)
        except PartUnavailable:
            since = self._failing_since = self._failing_since or started
            if loop.time() - since > MAX_OUTAGE:
                raise
            return None
        self._failing_since = None
        return run


def as_purged(run: Run) -> Run:
    """A run that was purged, as its followers see its end."""
    return run if run.status in ENDED else replace(run, status="cancelled", reason=PURGED_REASON)


def state_of(run: Run) -> Event:
    """The run as an event: a snapshot, or its end."""
    return Event(
        type="content_generation_finished"
        if run.status in ENDED
        else "content_generation_snapshot",
        task_id=run.run_id,
        roadmap_id=run.roadmap_id,
        status=run.status,
        reason=run.reason,
        progress_current=run.finished,
        progress_total=run.total,
        failed=run.failed,
        fence=run.fence,
    )


async def _next(events: asyncio.Queue[Event], seconds: float) -> Event | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await events.get()
    return None


async def _listen(
    bus: EventBus, run_id: str, after: str | None, events: asyncio.Queue[Event]
) -> None:
    with suppress(PartUnavailable):
        async for event in bus.subscribe(run_id, after):
            await events.put(event)
