"""Generated content in order and as Markdown."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import BaseModel

from paceline.contracts.exporter import ExportedArtifact
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.records import Artifact, ConceptState, Run
from paceline.contracts.storage.spending import RunSpending, Spent
from paceline.errors import PacelineError, PluginError
from paceline.runtime.part_factory import PartFactory
from paceline.settings.model import Settings
from paceline.steps.readable import decoded, readable
from paceline.text import amount, money

ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class Reader:
    """Turns artifacts into Markdown, with the step that made each if it still exists."""

    factory: PartFactory
    _steps: dict[str, Step | None] = field(default_factory=dict[str, Step | None])

    def ordered(self, artifacts: Sequence[Artifact]) -> list[Artifact]:
        """The artifacts of a concept in the order of the steps, unknown steps last."""
        steps = in_order(self.factory.settings, {one.step for one in artifacts})
        return sorted(artifacts, key=lambda one: steps.index(one.step))

    def markdown(self, artifacts: Sequence[Artifact]) -> str:
        """Artifacts of one concept as Markdown, with the solutions in a section at the end."""
        return with_answers(self._rendered(artifact)[:2] for artifact in artifacts)

    def read(self, artifact: Artifact) -> ExportedArtifact:
        """An artifact in the forms that exporters need.

        Raises:
            PluginError: the step failed to return its questions or cards.
        """
        content, solutions, answer = self._rendered(artifact)
        read = ExportedArtifact(
            artifact=artifact,
            content=content,
            solutions=solutions,
            remark=fallback_words(artifact),
        )
        step = self._step(artifact.step)
        if step is None or answer is None:
            return read
        return replace(
            read,
            questions=_items(artifact, step.questions, answer),
            cards=_items(artifact, step.cards, answer),
        )

    def _rendered(self, artifact: Artifact) -> tuple[str, str, BaseModel | None]:
        return readable(self._step(artifact.step), artifact.step, artifact.content)

    def _step(self, name: str) -> Step | None:
        if name not in self._steps:
            try:
                self._steps[name] = self.factory.step(name, self.factory.context())
            except PacelineError:
                self._steps[name] = None
        return self._steps[name]


def with_answers(parts: Iterable[tuple[str, str]]) -> str:
    """Contents of one concept as Markdown, with their solutions in a section at the end."""
    contents: list[str] = []
    solutions: list[str] = []
    for content, solution in parts:
        contents.append(content)
        if solution:
            solutions.append(solution)
    if solutions:
        contents += ["## Answers", *solutions]
    return "\n\n".join(contents)


def _items(
    artifact: Artifact, method: Callable[[BaseModel], Sequence[ItemT]], answer: BaseModel
) -> Sequence[ItemT]:
    try:
        return tuple(method(answer))
    except Exception as error:
        raise PluginError(
            f"step {artifact.step}: {method.__name__}() failed for concept "
            f"{artifact.concept_id!r}: {type(error).__name__}: {error}"
        ) from error


def in_order(settings: Settings, steps: Collection[str]) -> list[str]:
    """Names of steps in the order of the settings, others last."""
    chosen = settings.run.steps
    return sorted(steps, key=lambda one: (chosen.index(one) if one in chosen else 99, one))


def steps_of(settings: Settings, run: Run) -> list[str]:
    """The steps of a run, in the order of the settings."""
    return settings.run.steps if run.steps is None else in_order(settings, run.steps)


def content_of(artifact: Artifact) -> object:
    """The content as decoded JSON, or as text if it is not JSON."""
    return decoded(artifact.content)


def run_brief(run: Run) -> dict[str, object]:
    """What every ``--json`` says of a run; the names are stable."""
    return {"run_id": run.run_id, "roadmap_id": run.roadmap_id, "status": run.status}


def spent_words(spent: Spent, currency: str) -> tuple[str, str]:
    """Tokens and cost as text; ``~`` marks estimates, and the cost is empty without a price."""
    tokens = amount(spent.tokens, estimated=spent.estimated)
    if spent.cost is None:
        return tokens, ""
    return tokens, money(spent.cost, currency, estimated=spent.estimated)


def spent_to_json(spent: Spent) -> dict[str, object]:
    """What calls cost, for ``--json``; the names are stable."""
    return {
        "attempts": spent.attempts,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost": None if spent.cost is None else round(spent.cost, 6),
        "estimated": spent.estimated,
    }


def spending_to_json(spending: RunSpending, currency: str) -> dict[str, object]:
    """What a run cost, for ``--json`` and the API.

    ``unsaved`` is part of the sums, and ``duplicates`` is part of ``unsaved``.
    """
    return {
        **spent_to_json(spending.total),
        "currency": currency,
        "unsaved": spent_to_json(spending.unsaved),
        "duplicates": spent_to_json(spending.duplicates),
    }


def fallback_words(artifact: Artifact) -> str:
    """Why another model than the preferred one wrote an artifact; empty if none did."""
    if artifact.fallback is None:
        return ""
    return f"{artifact.step} by {artifact.model or 'another model'}, because {artifact.fallback}"


def artifact_to_json(artifact: Artifact, currency: str) -> dict[str, object]:
    """An artifact for ``--json``; the names are stable."""
    created = artifact.created_at
    return {
        "step": artifact.step,
        "content": content_of(artifact),
        "model": artifact.model,
        **spent_to_json(artifact.spent),
        "currency": currency,
        "seconds": artifact.seconds,
        "created_at": None if created is None else created.isoformat(),
        "fallback": artifact.fallback,
        "version": artifact.version,
        "stale": artifact.stale,
        "instruction": artifact.instruction,
        "tenant": artifact.tenant,
        "requested_by": artifact.requested_by,
        "adopted_from": artifact.adopted_from,
        "prompt_hash": artifact.prompt_hash,
        "input_hash": artifact.input_hash,
    }


def version_to_json(artifact: Artifact, currency: str) -> dict[str, object]:
    """One version of an artifact for ``--json``; the names are stable."""
    return {**artifact_to_json(artifact, currency), "current": artifact.current}


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
