"""Positions in a run's event stream: what buses need to tell that events were missed."""

from typing import NamedTuple

from paceline.events import Event

_LONGEST = 40


class Position(NamedTuple):
    """A place in a run's stream; ``START`` for who has seen nothing, ``LOST`` for no place."""

    epoch: int = 0
    offset: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "Position":
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
    def before(self) -> "Position":
        """The place of the event before, in the same epoch."""
        return Position(self.epoch, max(0, self.offset - 1))

    def leads_to(self, following: "Position") -> bool:
        """Whether who stands here misses nothing before ``following``."""
        if self.epoch not in {0, following.epoch}:
            return False
        return following.offset == (self.offset + 1 if self.epoch else 1)


START = Position()
LOST = Position(-1)


def resync(run_id: str, at: Position) -> Event:
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
