"""Coalesced messages to a client at the level ``roadmap``."""

from datetime import UTC, datetime

import pytest
from paceline import Event, Run
from paceline_adapters.bench.coalescing import TimedEvent, coalesced_message_times
from paceline_adapters.bench.timeline import peak_second

STARTED = 1_764_000_000.0


def queued(run_id: str, total: int) -> Run:
    return Run(
        run_id=run_id,
        roadmap_id=run_id,
        title=run_id,
        content_hash="",
        status="queued",
        reason=None,
        executor="in-process",
        total=total,
        completed=0,
        failed=0,
        fence=0,
        owner=None,
        takeovers=0,
        cancel_requested=False,
        created_at=datetime.now(UTC),
        started_at=None,
        finished_at=None,
    )


def events_of(run_id: str, times: list[float]) -> list[TimedEvent]:
    """Events of a run that completes a concept at each time and ends with the last."""

    def event(offset: int, done: int, **fields: str) -> Event:
        return Event(
            task_id=run_id,
            roadmap_id=run_id,
            progress_current=done,
            progress_total=len(times),
            offset=offset,
            epoch=1,
            fence=1,
            **fields,
        )

    events = [(STARTED, event(1, 0, type="content_generation_snapshot", status="running"))]
    for n, at in enumerate(times, start=1):
        events.append((STARTED + at, event(n + 1, n, concept_id=f"c{n}", status="completed")))
    end = event(len(times) + 2, len(times), type="content_generation_finished", status="completed")
    return [*events, (STARTED + times[-1], end)]


def test_a_thousand_events_per_second_become_four_messages_per_second() -> None:
    dense = [n / 1000 for n in range(1, 3001)]
    received = coalesced_message_times([queued("a", 3000)], events_of("a", dense))
    assert peak_second(received) == 4
    assert 12 <= len(received) <= 14
    assert received[0] >= STARTED
    assert received == sorted(received)


def test_simultaneous_events_of_many_runs_share_two_messages() -> None:
    events = sorted(
        (one for n in range(20) for one in events_of(f"r{n}", [1.0, 2.0])), key=lambda one: one[0]
    )
    received = coalesced_message_times([queued(f"r{n}", 2) for n in range(20)], events)
    assert len(events) == 80
    assert len(received) <= 6  # the first event immediately, the others together
    assert {int(at - STARTED) for at in received} == {0, 1, 2}


def test_rare_events_are_sent_immediately_and_the_end_within_one_interval() -> None:
    times = [10.0, 20.0, 30.0]
    received = coalesced_message_times([queued("a", 3)], events_of("a", times))
    for at in times:
        assert any(one == pytest.approx(STARTED + at, abs=0.001) for one in received)
    assert STARTED + 30 <= received[-1] <= STARTED + 30.25


def test_no_events_give_no_messages() -> None:
    assert coalesced_message_times([], []) == []
