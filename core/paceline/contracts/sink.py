"""The contract of sinks: where finished artifacts and ended runs are delivered."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from paceline.contracts.finding import Finding
from paceline.contracts.storage.records import RunStatus

DeliveryKind = Literal["artifact", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A version of an artifact that became current, or a run that ended.

    Attributes:
        id: the same at every attempt, so that a receiver can recognise a repeated delivery.
        kind: ``artifact`` or ``run``.
        run_id: id of the run.
        roadmap_id: id of its roadmap.
        roadmap_title: title of its roadmap.
        tenant: tenant that owns the run; empty without one.
        number: rises with each delivery of the same artifact, or of the same run. A receiver that
            keeps the highest number has the current state.
        created_at: when the artifact was committed, or when the run ended. In UTC.
        prompt_tokens: tokens of the prompts: of the artifact, or of the run so far.
        completion_tokens: tokens of the answers, likewise.
        cost: cost in ``currency``, likewise; ``None`` if no price is set.
        currency: currency of ``cost``: three letters.
        concept_id: id of the concept. This and the following are those of an artifact.
        concept_name: name of the concept.
        step: name of the step.
        version: version of the artifact. An older one can become current again.
        content: the validated answer as JSON text.
        readable: the content as Markdown.
        model: name of the model that wrote it.
        instruction: what the user asked for when this version was made; ``None`` without one.
        status: how the run ended. This and the following are those of an ended run.
        reason: why the run failed or is partial.
        total: number of concepts of the run.
        completed: number of concepts with all artifacts.
        failed: number of concepts that failed.
    """

    id: str
    kind: DeliveryKind
    run_id: str
    roadmap_id: str
    roadmap_title: str
    tenant: str
    number: int
    created_at: datetime
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    currency: str = "USD"
    concept_id: str = ""
    concept_name: str = ""
    step: str = ""
    version: int = 0
    content: str = ""
    readable: str = ""
    model: str = ""
    instruction: str | None = None
    status: RunStatus | None = None
    reason: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0

    def to_json(self) -> dict[str, object]:
        """The delivery as a JSON object. Names are added, and neither renamed nor removed."""
        common = {
            "id": self.id,
            "type": "artifact.saved" if self.kind == "artifact" else "run.ended",
            "timestamp": self.created_at.isoformat(),
        }
        data: dict[str, object] = {
            "run_id": self.run_id,
            "roadmap_id": self.roadmap_id,
            "roadmap_title": self.roadmap_title,
            "tenant": self.tenant or None,
            "number": self.number,
        }
        spent: dict[str, object] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": None if self.cost is None else round(self.cost, 6),
            "currency": self.currency,
        }
        if self.kind == "artifact":
            data |= {
                "concept_id": self.concept_id,
                "concept_name": self.concept_name,
                "step": self.step,
                "version": self.version,
                "content": _decoded(self.content),
                "readable": self.readable,
                "model": self.model,
                "instruction": self.instruction,
            }
        else:
            data |= {
                "status": self.status,
                "reason": self.reason,
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            }
        return {**common, "data": data | spent}


class Sink(ABC):
    """Delivers finished artifacts and ended runs to another system.

    A worker calls ``open`` once, then ``deliver`` with one batch after the other, and ``close``
    last, on one event loop. Each delivery arrives at least once: after a crash or a lost answer
    it is delivered again, with the same id. A batch holds at most one delivery of each artifact,
    and the next one follows after it was accepted.
    """

    #: Maximum number of deliveries of one batch, unless the settings say otherwise.
    batch: int = 100

    async def open(self) -> None:
        """Connect, if the sink keeps a connection.

        Raises:
            SinkUnavailable: the sink cannot be reached. It is opened again later.
        """

    async def close(self) -> None:
        """Release what the sink holds. Works on a sink that was never opened."""

    async def check(self) -> str | Finding:
        """Check for ``paceline doctor`` that the sink can be reached, without delivering.

        Returns:
            What was reached; empty if the sink has no check; or a finding.

        Raises:
            PacelineError: it cannot be reached.
        """
        return ""

    @abstractmethod
    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:
        """Deliver a batch.

        Returns:
            Deliveries that the receiver rejects: the reason by id. Each is tried again with
            growing pauses, and becomes a dead letter after ``attempts`` of its settings.

        Raises:
            SinkUnavailable: the receiver is down. Nothing was delivered, except what the error
                names. The batch is delivered again after a pause. Any other error counts as this.
        """


class TransactionalSink(Sink):
    """Writes to tables of your own, in the transaction that saves the artifact.

    Your row and the artifact are committed together, or neither is. An SQL store calls ``write``
    in each process that saves, restores or revises artifacts. There is no outbox, no pause and no
    dead letter: if ``write`` fails, the artifact is not saved and its step fails.
    """

    @abstractmethod
    async def write(self, connection: Any, deliveries: Sequence[Delivery]) -> None:
        """Write what becomes current.

        Be quick: the transaction holds locks, and other artifacts are saved with it. Neither
        commit nor roll back. If a batch fails, each of its artifacts is written on its own, so
        that only the faulty one fails.

        Args:
            connection: SQLAlchemy's ``AsyncConnection`` of the transaction.
            deliveries: artifacts, without the concept's name and Markdown.
        """

    async def deliver(self, batch: Sequence[Delivery]) -> Mapping[str, str] | None:  # noqa: ARG002
        """Do nothing: everything was written with its artifact."""
        return None


def artifact_delivery_id(run_id: str, concept_id: str, step: str, number: int) -> str:
    """The id of the delivery of an artifact; ``number`` counts its current versions."""
    return "art_" + _digest(run_id, concept_id, step, number)


def run_delivery_id(run_id: str, number: int) -> str:
    """The id of the delivery of an ended run; ``number`` counts its ends."""
    return "run_" + _digest(run_id, number)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _decoded(content: str) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return content
