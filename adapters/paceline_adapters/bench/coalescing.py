"""When a client at the level ``roadmap`` gets messages during a round.

The received events are replayed, each at its time, to the hub and the feed that serve clients.
This happens in virtual time after the round, so it costs the round nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from paceline import Event, Run
from paceline.contracts.storage.records import ENDED, RunStatus
from paceline.live.channel import MAX_KEPT
from paceline.live.feed import Feed
from paceline.live.hub import SILENCE, Hub
from paceline.tasks import cancel_and_wait
from paceline.testing.virtual_time import run_virtual

from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore

#: Time of receipt, seconds since 1970, and the event.
TimedEvent = tuple[float, Event]

#: Maximum number of virtual seconds from the last event to the last message.
_TIMEOUT = 10 * SILENCE


def coalesced_message_times(runs: Sequence[Run], events: Sequence[TimedEvent]) -> list[float]:
    """Times at which a client of all runs gets a message, by the clock of the events.

    Args:
        runs: the runs as they were submitted.
        events: events in the order of receipt; the last event of each run ends it.
    """
    if not events:
        return []
    started, ended = events[0][0], events[-1][0]
    times = run_virtual(
        _message_times(runs, [(at - started, event) for at, event in events]),
        limit=ended - started + _TIMEOUT,
    )
    return [started + at for at in times]


class _ReplayStore(MemoryStore):
    """Runs in the state of the last replayed event."""

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        self._current = {run.run_id: run for run in runs}

    def apply(self, event: Event) -> None:
        """Bring a run into the state that an event reports."""
        run = self._current[event.task_id]
        status = "running" if event.concept_id is not None else event.status
        self._current[event.task_id] = replace(
            run,
            status=cast("RunStatus", status),
            completed=event.progress_current - event.failed,
            failed=event.failed,
            fence=event.fence,
        )

    async def run(self, run_id: str) -> Run:
        return self._current[run_id]

    async def runs(self, **_: object) -> Sequence[Run]:
        """The unfinished runs; the hub reads no others."""
        return [run for run in self._current.values() if run.status not in ENDED]


async def _message_times(runs: Sequence[Run], events: Sequence[TimedEvent]) -> list[float]:
    store, bus = _ReplayStore(runs), MemoryBus()
    loop = asyncio.get_running_loop()
    hub = Hub(store, bus, kept=MAX_KEPT)
    times: list[float] = []
    async with Feed(hub) as feed:
        await feed.follow_all({})
        replay = asyncio.create_task(_replay(events, store, bus))
        ended = 0
        while ended < len(runs):
            messages = await feed.next()
            times.append(loop.time())
            ended += sum(message.terminal for message in messages)
        await cancel_and_wait(replay)
    await hub.close()
    return times


async def _replay(events: Sequence[TimedEvent], store: _ReplayStore, bus: MemoryBus) -> None:
    loop = asyncio.get_running_loop()
    for at, event in events:
        await asyncio.sleep(at - loop.time())
        store.apply(event)
        if event.offset:  # otherwise the follower made it; it was not received from the bus
            await bus.publish([event])
