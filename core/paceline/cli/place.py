"""The part of a run that a command names."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A concept of a run, or one of its artifacts.

    Attributes:
        run: run id, or roadmap id for its newest run.
        concept_id: the concept.
        step: the step; ``None`` for all steps.
    """

    run: str
    concept_id: str
    step: str | None = None
