"""Artifacts that a new run begins with, because they exist elsewhere."""

from dataclasses import dataclass

from paceline.contracts.storage.records import Artifact


@dataclass(frozen=True, slots=True)
class Copy:
    """An artifact of another run to take over.

    Attributes:
        run_id: id of the other run.
        concept_id: id of the concept, the same in both runs.
        step: name of the step.
    """

    run_id: str
    concept_id: str
    step: str

    @property
    def place(self) -> tuple[str, str]:
        """Concept and step."""
        return self.concept_id, self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """Artifacts that a new run begins with.

    Attributes:
        steps: the steps of the run. A concept that has all of them is completed.
        copies: artifacts of other runs. They cost nothing in the new run.
        artifacts: artifacts that were made outside.
        paused: why the run begins paused; ``None`` for a queued run. A run that lacks nothing is
            completed instead.
    """

    steps: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    paused: str | None = None


#: A run begins without content.
NO_SEEDS = Seeds()
