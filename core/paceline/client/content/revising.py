"""Which artifacts to make again: checked requests, and selections such as all stale quizzes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from paceline.contracts.storage.records import Artifact, ConceptState
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import ArtifactMark, Revision
from paceline.errors import UsageError
from paceline.settings.steps import StepGraph
from paceline.text import nearest

#: Forms of a condition, for help texts and errors.
CONDITIONS = "stale, failed or model=NAME"


class NoSuchVersion(UsageError):
    """An artifact has no version of that number."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Which artifacts of a run to revise.

    Attributes:
        kind: ``stale``, ``failed`` or ``model``; ``all`` selects every artifact.
        model: the model that wrote them, if ``kind`` is ``model``.
    """

    kind: str
    model: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Condition":
        """Parse a condition of ``--where``.

        Raises:
            UsageError: it is none of ``CONDITIONS``.
        """
        if text is None:
            return cls("all")
        kind, _, model = text.partition("=")
        if (kind in ("stale", "failed") and text == kind) or (kind == "model" and model):
            return cls(kind, model)
        raise UsageError(f"where must be {CONDITIONS}, got {text!r}")

    def selects(self, mark: ArtifactMark) -> bool:
        """Whether it selects an existing artifact."""
        if self.kind == "model":
            return mark.model == self.model
        return self.kind == "all" or (self.kind == "stale" and mark.stale)


async def select(
    store: Store, run_id: str, where: Condition, *, steps: Sequence[str], only: str | None
) -> list[tuple[str, str]]:
    """Select artifacts, as concept and step, in the order of the roadmap.

    Args:
        store: the open store.
        run_id: id of the run.
        where: the condition.
        steps: the steps of the run.
        only: select only artifacts of this step.
    """
    wanted = [only] if only is not None else list(steps)
    if where.kind == "failed":
        return await _failed(store, run_id, wanted)
    marks = await store.marks(run_id)
    return [one.place for one in marks if one.step in wanted and where.selects(one)]


async def _failed(store: Store, run_id: str, steps: Sequence[str]) -> list[tuple[str, str]]:
    """The artifacts that failed concepts lack, and those with a failed revision."""
    failed = [one.concept_id for one in await store.concepts(run_id, status=["failed"])]
    existing = await store.artifact_steps(run_id, concepts=failed)
    requested = {one.place for one in await store.revisions(run_id)}
    return [
        (concept_id, step)
        for concept_id in failed
        for step in steps
        if step not in existing.get(concept_id, ()) or (concept_id, step) in requested
    ]


def version_of(versions: Sequence[Artifact], number: int) -> Artifact:
    """The version of a number.

    Raises:
        NoSuchVersion: it does not exist.
    """
    for one in versions:
        if one.version == number:
            return one
    have = ", ".join(str(one.version) for one in versions) or "none"
    raise NoSuchVersion(f"the artifact does not have version {number} (versions: {have})")


def check_places(
    run_id: str,
    places: Iterable[tuple[str, str]],
    concepts: Mapping[str, ConceptState],
    steps: Sequence[str],
) -> None:
    """Check that concepts and steps exist.

    Raises:
        UsageError: a concept is not in the run, or a step is not one of its steps.
    """
    for concept_id, step in places:
        if concept_id not in concepts:
            raise UsageError(
                f"run {run_id} has no concept {concept_id!r}{nearest(concept_id, list(concepts))}"
            )
        check_step(run_id, step, steps)


def check_step(run_id: str, step: str, steps: Sequence[str]) -> None:
    """Check that a run has a step.

    Raises:
        UsageError: it has not.
    """
    if step not in steps:
        raise UsageError(f"run {run_id} has no step {step!r}{nearest(step, list(steps))}")


async def with_downstream(
    store: Store, run_id: str, requests: Sequence[Revision], graph: StepGraph
) -> list[Revision]:
    """The requests, and requests for the artifacts that were made from those.

    The instruction is for the artifacts that were asked for, not for those made from them.
    """
    asked = {one.place: one for one in requests}
    existing = await store.artifact_steps(
        run_id, concepts=sorted({one.concept_id for one in requests})
    )
    for one in requests:
        for step in graph.dependents(one.step):
            if step in existing.get(one.concept_id, ()):
                more = replace(one, step=step, instruction=None)
                asked.setdefault(more.place, more)
    return list(asked.values())
