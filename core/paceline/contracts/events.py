"""Progress events, and the contract of event buses: who hears?"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

EventType = Literal[
    "content_generation_progress",
    "content_generation_snapshot",
    "content_generation_finished",
    "resync_required",
]


class Event(BaseModel):
    """One message of a run's progress stream; its fields are the wire format.

    Attributes:
        type: ``…_progress`` tells of one concept, ``…_snapshot`` opens each claim of a run,
            ``…_finished`` is the last of a run, ``resync_required`` tells one subscriber
            that it missed events and must load the run's state anew.
        task_id: the run's id.
        roadmap_id: the roadmap's id.
        concept_id: the concept, for ``…_progress``.
        status: of the concept (``generating``, ``completed``, ``failed``) or of the run.
        step: the step whose artifact is durable by now, when the event tells of one.
        reason: why it failed.
        progress_current: concepts of the run that are finished, completed or failed;
            never falls within an epoch.
        progress_total: concepts of the run.
        failed: how many of the finished ones failed.
        offset: position in the run's stream, rising by one; 0 until the bus assigns it.
        epoch: which incarnation of the stream the offset counts in: when it began, in
            microseconds.
        fence: which claim of the run the publisher holds; the bus refuses older ones.
        at: when it was published, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: EventType = "content_generation_progress"
    task_id: str = Field(max_length=200)
    roadmap_id: str = Field(max_length=400)
    concept_id: str | None = Field(default=None, max_length=400)
    status: str = Field(max_length=40)
    step: str | None = Field(default=None, max_length=100)
    reason: str | None = Field(default=None, max_length=4000)
    progress_current: int = Field(ge=0)
    progress_total: int = Field(ge=0)
    failed: int = Field(default=0, ge=0)
    offset: int = Field(default=0, ge=0)
    epoch: int = Field(default=0, ge=0)
    fence: int = Field(default=0, ge=0)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def terminal(self) -> bool:
        """Whether no event of this epoch follows."""
        return self.type == "content_generation_finished"

    @property
    def position(self) -> str:
        """``epoch-offset``: what a subscriber passes as ``after`` to go on from here."""
        return f"{self.epoch}-{self.offset}"


_LONGEST = 40


class StreamPosition(NamedTuple):
    """A place in a run's stream; ``START`` for who has seen nothing, ``LOST`` for no place."""

    epoch: int = 0
    offset: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "StreamPosition":
        """Read ``epoch-offset``; ``None`` is ``START``, and what is no position is ``LOST``."""
        if text is None:
            return START
        epoch, dash, offset = text.partition("-")
        numbers = (epoch, offset)
        if (
            not dash
            or len(text) > _LONGEST
            or not all(n.isascii() and n.isdigit() for n in numbers)
        ):
            return LOST
        return cls(int(epoch), int(offset))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @property
    def before(self) -> "StreamPosition":
        """The place of the event before, in the same epoch."""
        return StreamPosition(self.epoch, max(0, self.offset - 1))

    def leads_to(self, following: "StreamPosition") -> bool:
        """Whether who stands here misses nothing before ``following``."""
        if self.epoch not in {0, following.epoch}:
            return False
        return following.offset == (self.offset + 1 if self.epoch else 1)


START = StreamPosition()
LOST = StreamPosition(-1)


def resync(run_id: str, at: StreamPosition) -> Event:
    """The event that tells a subscriber to load the run's state anew.

    Args:
        run_id: the run.
        at: where its stream goes on, exclusive.
    """
    return Event(
        type="resync_required",
        task_id=run_id,
        roadmap_id="",
        status="resync_required",
        progress_current=0,
        progress_total=0,
        epoch=at.epoch,
        offset=at.offset,
    )


class EventBus(ABC):
    """Carries the events of runs, in order per run."""

    #: Whether subscribers in other processes hear what this process publishes.
    shared: bool = False

    @abstractmethod
    async def publish(self, events: Sequence[Event]) -> None:
        """Append events of one or more runs, in order, assigning ``offset`` and ``epoch``.

        Events with a fence older than the newest seen for their run are dropped, as is
        whatever follows a run's terminal event, except a snapshot with a newer fence: that
        opens a new epoch.

        Raises:
            PartUnavailable: the bus cannot be reached. The caller goes on without it.
        """

    @abstractmethod
    def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """Events of a run, from ``after`` (exclusive) or from the oldest kept.

        It ends when the bus is closed; closing it (``contextlib.aclosing``) unsubscribes.

        Where events after that position are lost, or its epoch is over, the first event is
        a ``resync_required``; the stream then goes on with what is kept.
        """

    @abstractmethod
    async def newest(self, run_id: str) -> str:
        """Position of the run's newest event, ``0-0`` where there is none.

        A subscriber that has come so far knows that what follows is news.

        Raises:
            PartUnavailable: the bus cannot be reached.
        """

    async def check(self) -> str:
        """Reach the bus, for ``paceline doctor``: one line about where it is.

        Raises:
            PartUnavailable: it cannot be reached.
        """
        return ""

    async def close(self) -> None:
        """Close what the bus opened; subscriptions end."""
