"""The runs that a command is given: by run id, or by the roadmap's id for its newest run."""

from collections.abc import Sequence

from paceline.contracts.records import Run
from paceline.contracts.store import Store
from paceline.errors import RunNotFound


async def find_run(store: Store, given: str) -> Run:
    """The run of that id, or the newest run of the roadmap of that id.

    Raises:
        RunNotFound: there is neither.
    """
    try:
        return await store.run(given)
    except RunNotFound:
        newest = await store.runs(roadmap_id=given, limit=1)
        if newest:
            return newest[0]
    raise RunNotFound(f"no run and no roadmap has the id {given!r}; `paceline show` lists the runs")


async def find_runs(store: Store, given: Sequence[str]) -> list[Run]:
    """All of them, each once, before anything is done with one.

    Raises:
        RunNotFound: one of them is unknown.
    """
    found = [await find_run(store, one) for one in given]
    return list({run.run_id: run for run in found}.values())
