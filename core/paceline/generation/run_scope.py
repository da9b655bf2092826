"""What a claim of a run works on: its steps, and the concepts in its scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from paceline.contracts.scope import missing_step_error
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.records import ConceptState, Run
from paceline.roadmaps.model import Roadmap


@dataclass(frozen=True, slots=True)
class RunScope:
    """The scope of a run for this worker.

    Attributes:
        steps: the steps to make with their names, in the order of the settings.
        outside: ids of the roadmap's concepts that the run does not generate.
    """

    steps: Sequence[tuple[str, Step]]
    outside: frozenset[str]

    @classmethod
    def of(cls, run: Run, roadmap: Roadmap, known: Sequence[tuple[str, Step]]) -> Self:
        """The scope of a run; ``known`` are the steps of the settings.

        Raises:
            UsageError: the run has a step that the settings do not have.
        """
        names = [name for name, _ in known]
        wanted = names if run.steps is None else run.steps
        if not set(wanted) <= set(names):
            raise missing_step_error(wanted, names)
        outside = frozenset[str]()
        if run.only:
            inside = set(run.scope.concepts_of(roadmap))
            every = (concept.concept_id for _, _, concept in roadmap.concepts())
            outside = frozenset(id_ for id_ in every if id_ not in inside)
        return cls([(name, step) for name, step in known if name in wanted], outside)

    def lacks_steps(self, state: ConceptState, existing: Mapping[str, frozenset[str]]) -> bool:
        """Whether a completed concept lacks a step, because steps were added since.

        ``existing`` are the steps with an artifact, by concept id.
        """
        made = existing.get(state.concept_id, frozenset())
        return state.status == "completed" and any(name not in made for name, _ in self.steps)
