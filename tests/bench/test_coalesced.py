"""What a client of the level `roadmap` gets of a round's events, beside the events themselves."""

from datetime import UTC, datetime

import pytest
from paceline.contracts.events import Event
from paceline.contracts.records import Run
from paceline_adapters.bench.coalesced import Timed, messages
from paceline_adapters.bench.timeline import peak_second

BEGAN = 1_764_000_000.0


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


def events_of(run_id: str, moments: list[float]) -> list[Timed]:
    """A run that completes a concept at each moment, and ends with the last."""

    def event(offset: int, done: int, **fields: str) -> Event:
        return Event(
            task_id=run_id,
            roadmap_id=run_id,
            progress_current=done,
            progress_total=len(moments),
            offset=offset,
            epoch=1,
            fence=1,
            **fields,
        )

    told = [(BEGAN, event(1, 0, type="content_generation_snapshot", status="running"))]
    for n, at in enumerate(moments, start=1):
        told.append((BEGAN + at, event(n + 1, n, concept_id=f"c{n}", status="completed")))
    end = event(
        len(moments) + 2, len(moments), type="content_generation_finished", status="completed"
    )
    return [*told, (BEGAN + moments[-1], end)]


def test_a_thousand_events_a_second_are_four_messages_a_second() -> None:
    dense = [n / 1000 for n in range(1, 3001)]
    told = messages([queued("a", 3000)], events_of("a", dense))
    assert peak_second(told) == 4
    assert 12 <= len(told) <= 14
    assert told[0] >= BEGAN
    assert told == sorted(told)


def test_simultaneous_changes_of_many_runs_arrive_in_at_most_two_messages() -> None:
    events = sorted(
        (one for n in range(20) for one in events_of(f"r{n}", [1.0, 2.0])), key=lambda one: one[0]
    )
    told = messages([queued(f"r{n}", 2) for n in range(20)], events)
    assert len(events) == 80
    assert len(told) <= 6  # the first of them at once, the others together
    assert {int(at - BEGAN) for at in told} == {0, 1, 2}


def test_a_rare_change_is_sent_immediately_and_the_end_within_one_pause() -> None:
    moments = [10.0, 20.0, 30.0]
    told = messages([queued("a", 3)], events_of("a", moments))
    for at in moments:
        assert any(one == pytest.approx(BEGAN + at, abs=0.001) for one in told)
    assert BEGAN + 30 <= told[-1] <= BEGAN + 30.25


def test_without_events_there_are_no_messages() -> None:
    assert messages([], []) == []
