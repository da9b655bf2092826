"""What the concepts of runs are called and where they stand, without reading roadmaps again."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from paceline import Store

#: Concepts whose names are kept, over all runs.
MOST_NAMES = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """A concept in its roadmap.

    Attributes:
        name: the concept's name.
        stage_id: the stage it stands in.
        module_id: the module it stands in.
    """

    name: str
    stage_id: str
    module_id: str


class Names:
    """The concepts of runs that were asked for lately; a run's roadmap never changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: OrderedDict[str, Mapping[str, Place]] = OrderedDict()
        self._count = 0

    async def of(self, run_id: str) -> Mapping[str, Place]:
        """The places of a run's concepts, by id, in the roadmap's order.

        Raises:
            RunNotFound: there is no such run.
        """
        known = self._runs.get(run_id)
        if known is not None:
            self._runs.move_to_end(run_id)
            return known
        roadmap = await self._store.roadmap(run_id)
        places = {
            concept.concept_id: Place(concept.name, stage.stage_id, module.module_id)
            for stage, module, concept in roadmap.concepts()
        }
        if run_id not in self._runs:
            self._runs[run_id] = places
            self._count += len(places)
        while self._count > MOST_NAMES and len(self._runs) > 1:
            _, dropped = self._runs.popitem(last=False)
            self._count -= len(dropped)
        return places
