"""The contract of the outbox: what is still to be delivered to each sink.

A row is written in the transaction that saves the artifact or ends the run. So nothing that was
committed is forgotten, and nothing that was rolled back is delivered.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from paceline.contracts.sink import Delivery, DeliveryKind, TransactionalSink
from paceline.errors import SettingsError
from paceline.text import count

#: Kinds of deliveries.
KINDS: tuple[DeliveryKind, ...] = ("artifact", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkRoute:
    """What one sink receives.

    Attributes:
        sink: name of the sink in the settings.
        kinds: kinds of deliveries that it receives.
        steps: it receives the artifacts of these steps; ``None`` for all.
    """

    sink: str
    kinds: frozenset[DeliveryKind] = frozenset(KINDS)
    steps: frozenset[str] | None = None

    def takes_artifact(self, step: str) -> bool:
        """Whether the sink receives the artifacts of a step."""
        return "artifact" in self.kinds and (self.steps is None or step in self.steps)

    @property
    def takes_runs(self) -> bool:
        """Whether the sink receives ended runs."""
        return "run" in self.kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A delivery in the outbox, without what the store does not know.

    Attributes:
        delivery: the delivery. Name of the concept, Markdown and the cost of a run are missing.
        attempts: how often the sink has rejected it.
    """

    delivery: Delivery
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkBatch:
    """Deliveries that a worker holds under a lease, or the reason why it gets none.

    Attributes:
        sink: name of the sink.
        lease: token of the lease; a stale one changes nothing.
        items: the deliveries: at most one of each artifact and run.
        failures: how often in a row the sink was down, as this batch began.
        retry_in: seconds until a worker may try the sink again; 0 if it is not down.
    """

    sink: str
    lease: str = ""
    items: Sequence[Outgoing] = ()
    failures: int = 0
    retry_in: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A delivery that the sink rejected.

    Attributes:
        id: id of the delivery.
        reason: the sink's reason.
        retry_in: seconds until the next attempt; ``None`` makes it a dead letter.
    """

    id: str
    reason: str
    retry_in: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOutage:
    """A sink that is down.

    Attributes:
        reason: why.
        retry_in: seconds until a worker tries it again.
    """

    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that a sink rejected too often.

    Attributes:
        sink: name of the sink.
        id: id of the delivery.
        run_id: id of the run.
        concept_id: id of the concept; empty for an ended run.
        step: name of the step; empty for an ended run.
        version: version of the artifact; 0 for an ended run.
        reason: the sink's last reason.
    """

    sink: str
    id: str
    run_id: str
    concept_id: str
    step: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkFigures:
    """How far the deliveries to one sink are.

    Attributes:
        sink: name of the sink.
        waiting: number of deliveries that wait, without dead letters.
        oldest: seconds since the oldest of them was committed; 0 if none waits.
        dead: number of dead letters.
        delivered: number of deliveries that the sink has accepted.
        failures: how often in a row the sink was down; 0 if it is not.
        down_for: seconds since it is down.
        reason: why it is down.
        retry_in: seconds until a worker tries it again.
    """

    sink: str
    waiting: int = 0
    oldest: float = 0.0
    dead: int = 0
    delivered: int = 0
    failures: int = 0
    down_for: float = 0.0
    reason: str | None = None
    retry_in: float = 0.0


def describe_sink(one: SinkFigures) -> str:
    """What a sink does now, in one line."""
    parts: list[str] = []
    if one.failures:
        why = f": {one.reason}" if one.reason else ""
        parts.append(f"down for {one.down_for:.0f} s{why}; next attempt in {one.retry_in:.0f} s")
    if one.waiting:
        waiting = count(one.waiting, "delivery waits", "deliveries wait")
        parts.append(f"{waiting}, the oldest for {one.oldest:.0f} s")
    if one.dead:
        parts.append(f"{count(one.dead, 'dead letter')}: paceline sinks retry {one.sink} --dead")
    return "; ".join(parts) or "everything is delivered"


class OutboxStore(ABC):
    """Keeps what is to be delivered, and hands it out in batches with a lease."""

    #: The sinks that get a row of what is committed from now on.
    routes: Sequence[SinkRoute] = ()
    _listeners: tuple[Callable[[], None], ...] = ()

    def deliver_to(self, routes: Sequence[SinkRoute]) -> None:
        """Write outbox rows for these sinks from now on. Without sinks, nothing is written."""
        self.routes = tuple(routes)

    def write_with(self, sinks: Sequence[tuple[SinkRoute, TransactionalSink]]) -> None:
        """Let sinks write in the transaction of each artifact from now on.

        Raises:
            SettingsError: the store has no transactions of SQL.
        """
        if sinks:
            raise SettingsError(
                f"sinks.{sinks[0][0].sink} writes in the transaction of an artifact: store.url "
                "must name an SQLite or PostgreSQL database"
            )

    def on_outgoing(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever this process has committed outbox rows."""
        self._listeners = (*self._listeners, listener)

    def off_outgoing(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` no more."""
        self._listeners = tuple(one for one in self._listeners if one != listener)

    def _committed(self) -> None:
        """Notify the listeners. For stores: call this after the commit."""
        for listener in self._listeners:
            listener()

    @abstractmethod
    async def claim_batch(self, sink: str, *, limit: int, lease: float) -> SinkBatch:
        """Take deliveries that are due, oldest first, under a lease of ``lease`` seconds.

        A delivery is due if its pause is over and no earlier one of the same artifact waits or is
        leased. Dead letters hold up nothing. If the sink is down, no caller gets a batch until its
        pause is over; then one caller gets a single delivery, to try the sink.
        """

    @abstractmethod
    async def settle(
        self,
        batch: SinkBatch,
        *,
        delivered: Collection[str] = (),
        rejected: Sequence[Rejection] = (),
        outage: SinkOutage | None = None,
    ) -> None:
        """End the lease of a batch.

        Deliveries that are neither delivered nor rejected are due again at once, behind others.
        Without an outage, the sink is not down any more. An outage counts only once, even if
        several workers notice it. Nothing changes for deliveries that another worker has leased.

        Args:
            batch: the batch.
            delivered: ids of what the sink accepted.
            rejected: what it rejected.
            outage: why it is down.
        """

    @abstractmethod
    async def sink_figures(self) -> Sequence[SinkFigures]:
        """Return the figures of the sinks in ``routes``, in their order."""

    @abstractmethod
    async def undelivered(
        self, *, sink: str | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """List dead letters, oldest first: of one sink or of all."""

    @abstractmethod
    async def retry_deliveries(self, *, sink: str | None = None, dead_only: bool = False) -> int:
        """Make dead letters due again, with their ids and without their attempts.

        Args:
            sink: only this sink.
            dead_only: keep the pauses of other deliveries and of sinks that are down. Otherwise
                these end, too.

        Returns:
            Number of dead letters that are due again.
        """
