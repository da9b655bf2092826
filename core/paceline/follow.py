"""Following a run to its end, whatever the bus does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from paceline.errors import PartUnavailable
from paceline.events import Event, EventBus
from paceline.store import ENDED, Run, Store

#: Seconds of silence after which a follower asks the store.
SILENCE = 5.0
#: Seconds between looks at the store where there is no bus to hear.
POLL = 0.5


async def follow(
    store: Store, bus: EventBus | None, run_id: str, *, after: str | None = None
) -> AsyncIterator[Event]:
    """Events of a run until its last one.

    First comes a snapshot of where the run stands. Where the bus is silent or away, the store
    is asked, so the end is always heard.

    Args:
        store: where the run stands.
        bus: whose events to hear; ``None`` where it reaches only another process.
        run_id: the run.
        after: position of the last event seen; then no snapshot comes first.

    Raises:
        RunNotFound: there is no such run.
        PartUnavailable: the store cannot be reached.
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
    try:
        while True:
            event = await _next(heard, SILENCE if listener and not listener.done() else POLL)
            if event is None:
                now = await store.run(run_id)
                if (now.status, now.finished) != (run.status, run.finished):
                    run = now
                    event = state_of(now)
            elif event.type == "resync_required":
                yield event  # some events are lost: what follows is where the run stands
                run = await store.run(run_id)
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
