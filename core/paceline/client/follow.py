"""Following a run to its end, whatever the bus does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from paceline.contracts.events import Event, EventBus
from paceline.contracts.records import ENDED, Run
from paceline.contracts.store import Store
from paceline.errors import PartUnavailable

#: Seconds of silence after which a follower asks the store.
SILENCE = 5.0
#: Seconds between looks at the store where there is no bus to hear.
POLL = 0.5
#: Seconds that the store may be away before a follower gives up.
AWAY = 120.0


async def follow(
    store: Store, bus: EventBus | None, run_id: str, *, after: str | None = None
) -> AsyncIterator[Event]:
    """Events of a run until its last one.

    First comes a snapshot of where the run stands. Where the bus is silent or away, the store
    is asked, so the end is always heard. A store that is away is waited for.

    Args:
        store: where the run stands.
        bus: whose events to hear; ``None`` where it reaches only another process.
        run_id: the run.
        after: position of the last event seen; then no snapshot comes first.

    Raises:
        RunNotFound: there is no such run.
        PartUnavailable: the store cannot be reached, at the start or for two minutes.
    """
    run = await store.run(run_id)
    if after is None:
        yield state_of(run)
    if run.status in ENDED:
        if after is not None:
            yield state_of(run)
        return
    heard: asyncio.Queue[Event] = asyncio.Queue()
    listener = None if bus is None else asyncio.create_task(_listen(bus, run_id, after, heard))
    patient = _Patient(store)
    try:
        while True:
            event = await _next(heard, SILENCE if listener and not listener.done() else POLL)
            if event is None:
                now = await patient.look(run_id) or run
                if (now.status, now.finished) != (run.status, run.finished):
                    run = now
                    event = state_of(now)
            elif event.type == "resync_required":
                yield event  # some events are lost: what follows is where the run stands
                run = await patient.look(run_id) or run
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


class _Patient:
    """Looks at runs in a store that may be away for a while."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._away_since: float | None = None

    async def look(self, run_id: str) -> Run | None:
        """The run; ``None`` while the store is away."""
        asked_at = asyncio.get_running_loop().time()
        try:
            run = await self._store.run(run_id)
        except PartUnavailable:
            since = self._away_since = self._away_since or asked_at
            if asyncio.get_running_loop().time() - since > AWAY:
                raise
            return None
        self._away_since = None
        return run


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


async def _next(heard: asyncio.Queue[Event], seconds: float) -> Event | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await heard.get()
    return None


async def _listen(
    bus: EventBus, run_id: str, after: str | None, heard: asyncio.Queue[Event]
) -> None:
    with suppress(PartUnavailable):
        async for event in bus.subscribe(run_id, after):
            await heard.put(event)
