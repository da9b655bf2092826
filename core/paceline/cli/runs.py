"""Finding the runs that a command names by run id or roadmap id."""

from collections.abc import Sequence

from paceline.contracts.storage.records import Run
from paceline.contracts.storage.store import Store
from paceline.errors import RunNotFound


async def find_run(store: Store, name: str) -> Run:
    """The run with this id, or the newest run of the roadmap with this id.

    Raises:
        RunNotFound: neither exists.
    """
    try:
        return await store.run(name)
    except RunNotFound:
        newest = await store.runs(roadmap_id=name, limit=1)
        if newest:
            return newest[0]
    listed = await store.runs(limit=1)
    advice = "`paceline show` lists the runs" if listed else "the database has no runs yet"
    raise RunNotFound(f"no run and no roadmap has the id {name!r}; {advice}")


async def find_runs(store: Store, names: Sequence[str]) -> list[Run]:
    """Find all runs, each once.

    Raises:
        RunNotFound: one of them does not exist.
    """
    found = [await find_run(store, name) for name in names]
    return list({run.run_id: run for run in found}.values())
