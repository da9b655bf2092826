"""Names and places of the concepts of a run, cached so that roadmaps are not read again."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from paceline import Store

#: Maximum number of cached concepts over all runs.
MAX_CACHED = 100_000


@dataclass(frozen=True, slots=True)
class ConceptPlace:
    """A concept's name and its place in the roadmap."""

    name: str
    stage_id: str
    module_id: str


class ConceptNames:
    """The concepts of runs that were requested lately; a run's roadmap never changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: OrderedDict[str, Mapping[str, ConceptPlace]] = OrderedDict()
        self._count = 0

    async def of(self, run_id: str) -> Mapping[str, ConceptPlace]:
        """The concepts of a run by id, in the roadmap's order.

        Raises:
            RunNotFound: there is no such run.
        """
        cached = self._runs.get(run_id)
        if cached is not None:
            self._runs.move_to_end(run_id)
            return cached
        roadmap = await self._store.roadmap(run_id)
        concepts = {
            concept.concept_id: ConceptPlace(concept.name, stage.stage_id, module.module_id)
            for stage, module, concept in roadmap.concepts()
        }
        if run_id not in self._runs:
            self._runs[run_id] = concepts
            self._count += len(concepts)
        while self._count > MAX_CACHED and len(self._runs) > 1:
            _, dropped = self._runs.popitem(last=False)
            self._count -= len(dropped)
        return concepts
