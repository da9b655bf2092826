"""What a new run takes over from an earlier one, and what it has to make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paceline.contracts.scope import Scope
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.seeds import Copy
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.versions import ArtifactMark
from paceline.roadmaps.model import Concept, Roadmap
from paceline.steps.inputs import Inputs
from paceline.text import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What a new run takes over, and what it makes.

    Attributes:
        source: the run to take artifacts over from; ``None`` if the roadmap has no run.
        copies: the artifacts that are taken over.
        to_make: the artifacts to make, as concept and step, in the order of the roadmap.
        changed: ids of concepts in both roadmaps of which something has to be made.
        added: ids of concepts that the earlier run does not have.
        removed: ids of concepts that only the earlier run has.
        outdated: artifacts of the earlier run that were made from other inputs, as concept and
            step.
        unknown: number of artifacts with unknown inputs, because an earlier version of paceline
            made them.
    """

    source: Run | None
    copies: Sequence[Copy] = ()
    to_make: Sequence[tuple[str, str]] = ()
    changed: Sequence[str] = ()
    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    outdated: Sequence[tuple[str, str]] = ()
    unknown: int = 0

    def summary(self) -> str:
        """One line for people."""
        if self.source is None:
            return "the roadmap has no earlier run: nothing to take over"
        calls = count(len(self.to_make), "artifact")
        kept = count(len(self.copies), "artifact")
        words = f"{kept} of run {self.source.run_id} taken over, {calls} to make"
        parts = (("changed", self.changed), ("added", self.added), ("removed", self.removed))
        named = [f"{len(ids)} {word}" for word, ids in parts if ids]
        if named:
            words += f" (concepts: {', '.join(named)})"
        if self.unknown:
            words += (
                f"; of {count(self.unknown, 'artifact')} it is not known what they were made from"
            )
        return words

    def to_json(self) -> dict[str, object]:
        """The adoption for ``--json``; the names are stable."""
        return {
            "adopted_from": None if self.source is None else self.source.run_id,
            "adopted": len(self.copies),
            "calls": len(self.to_make),
            "changed": list(self.changed),
            "added": list(self.added),
            "removed": list(self.removed),
            "to_make": [{"concept_id": one, "step": step} for one, step in self.to_make],
        }


async def plan_adoption(
    store: Store, source: Run | None, roadmap: Roadmap, scope: Scope, inputs: Inputs
) -> Adoption:
    """Compare the artifacts of an earlier run with what a new run would make them from.

    An artifact is taken over if its inputs are the same, and if those of the steps that it needs
    are taken over, too.
    """
    concepts = _concepts(roadmap, scope)
    steps = [name for name in inputs.names if scope.steps is None or name in scope.steps]
    marks: Sequence[ArtifactMark] = []
    before: set[str] = set()
    if source is not None:
        marks = await store.marks(source.run_id)
        earlier = await store.roadmap(source.run_id)
        before = {concept.concept_id for concept in _concepts(earlier, source.scope)}
    hashes = {one.place: one.input_hash for one in marks}
    copies: list[Copy] = []
    to_make: list[tuple[str, str]] = []
    for concept in concepts:
        of_concept = inputs.of(concept)
        lacking: set[str] = set()
        for step in steps:
            place = concept.concept_id, step
            same = hashes.get(place) == of_concept.hash(step)
            if source is not None and same and not lacking.intersection(inputs.needs(step)):
                copies.append(Copy(source.run_id, *place))
            else:
                lacking.add(step)
                to_make.append(place)
    making = {concept_id for concept_id, _ in to_make}
    now = [concept.concept_id for concept in concepts]
    return Adoption(
        source=source,
        copies=copies,
        to_make=to_make,
        changed=[one for one in now if one in making and one in before],
        added=[one for one in now if one not in before],
        removed=sorted(before.difference(now)),
        outdated=[place for place in to_make if hashes.get(place) is not None],
        unknown=sum(one is None for one in hashes.values()),
    )


async def plan_reuse(
    store: Store, tenants: Sequence[str], roadmap: Roadmap, scope: Scope, inputs: Inputs
) -> Sequence[Copy]:
    """Artifacts of any run of a tenant that were made from the same inputs."""
    steps = [name for name in inputs.names if scope.steps is None or name in scope.steps]
    wanted: dict[tuple[str, str], str] = {}
    for concept in _concepts(roadmap, scope):
        of_concept = inputs.of(concept)
        wanted |= {(concept.concept_id, step): of_concept.hash(step) for step in steps}
    found = await store.find_inputs(list(wanted.values()), tenants)
    copies = {
        place: found[value]
        for place, value in wanted.items()
        if value in found and found[value].place == place
    }
    return [
        copy
        for (concept_id, step), copy in copies.items()
        if all((concept_id, needed) in copies for needed in inputs.needs(step) if needed in steps)
    ]


def explained(
    roadmap: Roadmap, scope: Scope, inputs: Inputs
) -> Mapping[tuple[str, str], Mapping[str, object]]:
    """What each artifact is made from, with its hash, by concept and step."""
    steps = [name for name in inputs.names if scope.steps is None or name in scope.steps]
    return {
        (concept.concept_id, step): inputs.of(concept).explain(step)
        for concept in _concepts(roadmap, scope)
        for step in steps
    }


def _concepts(roadmap: Roadmap, scope: Scope) -> list[Concept]:
    within = set(scope.concepts_of(roadmap))
    return [concept for _, _, concept in roadmap.concepts() if concept.concept_id in within]
