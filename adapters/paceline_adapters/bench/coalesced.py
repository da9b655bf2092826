"""When a client of the level ``roadmap`` is told something of a round.

The events that were heard are played once more, each at its moment, to the hub and the feed that
serve clients: in virtual time and after the round, so that it costs the round nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from paceline import Event, Run
from paceline.contracts.records import ENDED, RunStatus
from paceline.live.channel import MAX_KEPT
from paceline.live.feed import Feed
from paceline.live.hub import SILENCE, Hub
from paceline.tasks import cancel_and_wait
from paceline.testing.virtual_time import run_virtual

from paceline_adapters.memory.bus import MemoryBus
from paceline_adapters.memory.store import MemoryStore

#: An event, and when it was heard, seconds since 1970.
Timed = tuple[float, Event]

#: Virtual seconds after the last event in which the last message must come.
_PATIENCE = 10 * SILENCE


def messages(runs: Sequence[Run], events: Sequence[Timed]) -> list[float]:
    """When a client that follows all of these runs gets a message, by the events' clock.

    Args:
        runs: as they were submitted.
        events: in the order in which they were heard; the last of each run ends it.
    """
    if not events:
        return []
    began, ended = events[0][0], events[-1][0]
    moments = run_virtual(
        _told(runs, [(at - began, event) for at, event in events]),
        limit=ended - began + _PATIENCE,
    )
    return [began + at for at in moments]


class _Past(MemoryStore):
    """Runs as they stood when the last event so far was published."""

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        self._standing = {run.run_id: run for run in runs}

    def happened(self, event: Event) -> None:
        """Let a run stand where an event says it does."""
        run = self._standing[event.task_id]
        status = "running" if event.concept_id is not None else event.status
        self._standing[event.task_id] = replace(
            run,
            status=cast("RunStatus", status),
            completed=event.progress_current - event.failed,
            failed=event.failed,
            fence=event.fence,
        )

    async def run(self, run_id: str) -> Run:
        return self._standing[run_id]

    async def runs(self, **_: object) -> Sequence[Run]:
        """The unfinished ones: nobody here asks for others."""
        return [run for run in self._standing.values() if run.status not in ENDED]


async def _told(runs: Sequence[Run], events: Sequence[Timed]) -> list[float]:
    store, bus = _Past(runs), MemoryBus()
    loop = asyncio.get_running_loop()
    hub = Hub(store, bus, kept=MAX_KEPT)
    moments: list[float] = []
    async with Feed(hub) as feed:
        await feed.follow_all({})
        playing = asyncio.create_task(_play(events, store, bus))
        over = 0
        while over < len(runs):
            told = await feed.next()
            moments.append(loop.time())
            over += sum(one.terminal for one in told)
        await cancel_and_wait(playing)
    await hub.close()
    return moments


async def _play(events: Sequence[Timed], store: _Past, bus: MemoryBus) -> None:
    loop = asyncio.get_running_loop()
    for at, event in events:
        await asyncio.sleep(at - loop.time())
        store.happened(event)
        if event.offset:  # else it was the follower's own word, not the bus's
            await bus.publish([event])
