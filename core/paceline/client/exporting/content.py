"""What exists of a run, read concept by concept."""

from collections.abc import Sequence
from dataclasses import dataclass

from paceline.client.coverage import Coverage, summary
from paceline.client.exporting.names import numbered_name
from paceline.client.render import Reader, in_order, steps_of
from paceline.contracts.exporter import ExportedArtifact, ExportedConcept, ExportedRun
from paceline.contracts.storage.records import Run
from paceline.contracts.storage.store import Store
from paceline.roadmaps.model import Roadmap
from paceline.runtime.part_factory import PartFactory


async def read_run(store: Store, factory: PartFactory, run: Run) -> ExportedRun:
    """Read what exists of a run, without the content; ``store`` must stay open."""
    # First the states: the artifacts of a completed concept exist before its state changes.
    states = {state.concept_id: state for state in await store.concepts(run.run_id)}
    existing = await store.artifact_steps(run.run_id)
    roadmap = await store.roadmap(run.run_id)
    steps = steps_of(factory.settings, run)
    covered: list[Coverage] = []
    concepts: list[ExportedConcept] = []
    for stage, module, concept in roadmap.concepts():
        state = states.get(concept.concept_id)
        if state is None:
            continue  # outside of the run's scope
        found = Coverage.of(steps, state, existing.get(concept.concept_id, ()))
        covered.append(found)
        concepts.append(
            ExportedConcept(
                stage=stage,
                module=module,
                concept=concept,
                state=state,
                steps=in_order(factory.settings, found.existing),
                missing=found.missing,
                remark=found.remark,
                file_name=numbered_name(len(covered), len(states), concept.concept_id),
            )
        )
    return StoredRun(run, roadmap, summary(covered), concepts, store, Reader(factory))


@dataclass(frozen=True, slots=True)
class StoredRun(ExportedRun):
    """A run of an open store."""

    run: Run
    roadmap: Roadmap
    summary: str
    concepts: Sequence[ExportedConcept]
    _store: Store
    _reader: Reader

    async def artifacts(self, concept: ExportedConcept) -> Sequence[ExportedArtifact]:
        """Read the artifacts that existed when the run was read."""
        found = await self._store.artifacts(self.run.run_id, concept_id=concept.concept.concept_id)
        known = self._reader.ordered([one for one in found if one.step in concept.steps])
        return [self._reader.read(artifact) for artifact in known]
