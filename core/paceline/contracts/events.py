"""Progress events of runs, and the contract of the buses that carry them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from paceline.contracts.finding import Finding

EventType = Literal[
    "content_generation_progress",
    "content_generation_note",
    "content_generation_snapshot",
    "content_generation_finished",
    "resync_required",
]


class Event(BaseModel):
    """One message of a run's progress stream; its fields are the wire format.

    Attributes:
        type: ``…_progress`` reports one concept. ``…_note`` is a note of a step about its work on
            a concept, or of a strategy about the run, with the text as ``reason``. ``…_snapshot``
            opens each claim of a run, and reports that the run is paused or that its calls wait.
            ``…_finished`` is the last event of a run. ``resync_required`` notifies one subscriber
            that it missed events and must reload the run's state.
        task_id: the run's id.
        roadmap_id: the roadmap's id.
        concept_id: the concept, for ``…_progress`` and the ``…_note`` of a step.
        status: status of the concept (``generating``, ``completed``, ``failed``) or of the run.
        step: the step that just saved an artifact, if any.
        reason: why the concept or run failed, why the run is paused, or why its calls wait.
        progress_current: concepts of the run that completed or failed. Within an epoch it falls
            only with the snapshot of a claim, if concepts were reopened.
        progress_total: concepts in the scope of the run.
        failed: concepts of the run that failed.
        offset: position in the run's stream, rising by one; 0 until the bus assigns it.
        epoch: identifies the stream that the offset counts in: the time in microseconds when
            the stream was created.
        fence: number of the claim that the publisher holds; the bus drops events of older claims.
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
        """Whether this is the last event of its epoch."""
        return self.type == "content_generation_finished"

    @property
    def is_note(self) -> bool:
        """Whether this is a note of a step or strategy: it changes neither a state nor a count."""
        return self.type == "content_generation_note"

    @property
    def stopped(self) -> bool:
        """Whether the run now waits for a user's command: it has ended, or it is paused."""
        return self.terminal or (self.concept_id is None and self.status == "paused")

    @property
    def completed(self) -> int:
        """Number of concepts that completed."""
        return max(0, self.progress_current - self.failed)

    @property
    def position(self) -> str:
        """``epoch-offset``: a subscriber passes it as ``after`` to resume from here."""
        return f"{self.epoch}-{self.offset}"


_MAX_LENGTH = 40


class StreamPosition(NamedTuple):
    """A position in a run's stream.

    ``START`` is the position before the first event, ``LOST`` stands for an invalid position.
    """

    epoch: int = 0
    offset: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "StreamPosition":
        """Read ``epoch-offset``. ``None`` means ``START``; a malformed position means ``LOST``."""
        if text is None:
            return START
        epoch, dash, offset = text.partition("-")
        numbers = (epoch, offset)
        if (
            not dash
            or len(text) > _MAX_LENGTH
            or not all(n.isascii() and n.isdigit() for n in numbers)
        ):
            return LOST
        return cls(int(epoch), int(offset))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @property
    def before(self) -> "StreamPosition":
        """The position of the previous event in the same epoch."""
        return StreamPosition(self.epoch, max(0, self.offset - 1))

    def leads_to(self, following: "StreamPosition") -> bool:
        """Whether no event lies between this position and ``following``."""
        if self.epoch not in {0, following.epoch}:
            return False
        return following.offset == (self.offset + 1 if self.epoch else 1)


START = StreamPosition()
LOST = StreamPosition(-1)


def resync(run_id: str, at: StreamPosition) -> Event:
    """The event that makes a subscriber reload the run's state.

    Args:
        run_id: the run.
        at: the position after which the stream continues.
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

    #: Whether subscribers in other processes receive what this process publishes.
    shared: bool = False

    @abstractmethod
    async def publish(self, events: Sequence[Event]) -> None:
        """Append events of one or more runs, in order, assigning ``offset`` and ``epoch``.

        The bus drops events with a fence older than the newest one of their run. After a run's
        terminal event it drops everything, except a snapshot with a newer fence, which opens
        a new epoch.

        Raises:
            PartUnavailable: the bus cannot be reached. The caller continues without it.
        """

    @abstractmethod
    def subscribe(self, run_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """Events of a run, after the position ``after`` or from the oldest retained event.

        The stream ends when the bus is closed. Closing the generator
        (``contextlib.aclosing``) unsubscribes.

        If events after that position are lost, or its epoch has ended, the first event is a
        ``resync_required``. The retained events follow.
        """

    @abstractmethod
    async def newest(self, run_id: str) -> str:
        """Position of the run's newest event; ``0-0`` if the run has no events.

        For a subscriber that has reached this position, all further events are new.

        Raises:
            PartUnavailable: the bus cannot be reached.
        """

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Remove the events of runs that are being purged; by default nothing.

        Raises:
            PartUnavailable: the bus cannot be reached.
        """

    async def check(self) -> str | Finding:
        """Use the bus once, and describe it in one line, for ``paceline doctor``.

        Returns:
            The line, or a finding if there is something to do.

        Raises:
            PartUnavailable: the bus cannot be reached.
            PartRejected: it rejects this process.
        """
        return ""

    async def close(self) -> None:
        """Close what the bus opened, and end all subscriptions."""
