"""Generated content in order and as Markdown."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError, loads

from pydantic import ValidationError

from paceline.contracts.records import Artifact, ConceptState, Run
from paceline.contracts.step import Step
from paceline.errors import PacelineError
from paceline.runtime.parts import PartFactory
from paceline.settings.model import Settings
from paceline.text import outline


@dataclass(slots=True)
class Reader:
    """Turns artifacts into Markdown, with the step that made each if it still exists."""

    factory: PartFactory
    _steps: dict[str, Step | None] = field(default_factory=dict[str, Step | None])

    def ordered(self, artifacts: Sequence[Artifact]) -> list[Artifact]:
        """The artifacts of a concept in the order of the steps, unknown steps last."""
        steps = in_order(self.factory.settings, {one.step for one in artifacts})
        return sorted(artifacts, key=lambda one: steps.index(one.step))

    def markdown(self, artifact: Artifact) -> str:
        """One artifact as Markdown."""
        step = self._step(artifact.step)
        try:
            if step is not None:
                return step.readable(step.answer.model_validate_json(artifact.content))
        except ValidationError:
            pass  # another version of the step made it; show the stored JSON
        return f"## {artifact.step}\n\n{outline(content_of(artifact), level=3)}"

    def _step(self, name: str) -> Step | None:
        if name not in self._steps:
            try:
                self._steps[name] = self.factory.step(name, self.factory.context())
            except PacelineError:
                self._steps[name] = None
        return self._steps[name]


def in_order(settings: Settings, steps: Collection[str]) -> list[str]:
    """Names of steps in the order of the settings, others last."""
    chosen = settings.run.steps
    return sorted(steps, key=lambda one: (chosen.index(one) if one in chosen else 99, one))


def content_of(artifact: Artifact) -> object:
    """The content as decoded JSON, or as text if it is not JSON."""
    try:
        return loads(artifact.content)
    except JSONDecodeError:
        return artifact.content


def run_brief(run: Run) -> dict[str, object]:
    """What every ``--json`` says of a run; the names are stable."""
    return {"run_id": run.run_id, "roadmap_id": run.roadmap_id, "status": run.status}


def artifact_to_json(artifact: Artifact) -> dict[str, object]:
    """An artifact for ``--json``; the names are stable."""
    created = artifact.created_at
    return {
        "step": artifact.step,
        "content": content_of(artifact),
        "model": artifact.model,
        "prompt_tokens": artifact.prompt_tokens,
        "completion_tokens": artifact.completion_tokens,
        "cost": artifact.cost,
        "seconds": artifact.seconds,
        "attempts": artifact.attempts,
        "created_at": None if created is None else created.isoformat(),
    }


def concept_to_json(
    state: ConceptState, names: Mapping[str, str], steps: Sequence[str]
) -> dict[str, object]:
    """A concept without its content, for ``--json``; the names are stable."""
    return {
        "concept_id": state.concept_id,
        "name": names.get(state.concept_id, state.concept_id),
        "status": state.status,
        "reason": state.reason,
        "attempts": state.attempts,
        "steps": list(steps),
    }


def dead_letter_to_json(state: ConceptState) -> dict[str, object]:
    """A failed concept, for ``--json``; the names are stable."""
    return {
        "concept_id": state.concept_id,
        "reason": state.reason,
        "attempts": state.attempts,
        "last_answer": state.last_answer,
    }
