"""Small inputs for tests of stores."""

from collections.abc import Sequence
from typing import Any

from paceline.contracts.identity import ProcessIdentity, this_process
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.contracts.storage.records import Artifact, Claim, ConceptState, Run, WorkerRecord
from paceline.contracts.storage.spending import Charge, Spent
from paceline.contracts.storage.store import Store
from paceline.roadmaps.model import Roadmap, parse_roadmap

LEASE = 30.0


def roadmap(roadmap_id: str = "r", *, concepts: int = 3, title: str = "Learn") -> Roadmap:
    """A valid roadmap with concepts ``c0``, ``c1`` and so on."""
    listed = [{"concept_id": f"c{n}", "name": f"Concept {n}"} for n in range(concepts)]
    module = {"module_id": "m", "name": "M", "concepts": listed}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    data = {"roadmap_id": roadmap_id, "title": title, "stages": [stage], "mine": {"kept": True}}
    return parse_roadmap(data, source="test")


def artifact(concept_id: str = "c0", step: str = "tutorial", **fields: Any) -> Artifact:
    """An artifact with a different value in each field."""
    values: dict[str, Any] = {
        "content": '{"text": "…"}',
        "model": "gpt",
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "cost": None,
        "seconds": 1.5,
        "attempts": 1,
    }
    return Artifact(concept_id=concept_id, step=step, **(values | fields))


def done(concept_id: str = "c0", *, attempts: int = 1) -> ConceptState:
    """A completed concept; ``attempts`` is what the store counted."""
    return ConceptState(concept_id=concept_id, status="completed", attempts=attempts)


def charge(concept_id: str = "c0", step: str = "tutorial", **fields: Any) -> Charge:
    """What a step cost so far: one attempt, 10 tokens of a prompt and 5 of an answer."""
    values: dict[str, Any] = {"attempts": 1, "prompt_tokens": 10, "completion_tokens": 5}
    return Charge(concept_id=concept_id, step=step, spent=Spent(**(values | fields)))


def worker(
    worker_id: str = "worker", *, identity: ProcessIdentity | None = None, pool_max: int = 5
) -> WorkerRecord:
    """A worker of this process."""
    return WorkerRecord(
        worker_id=worker_id,
        identity=identity or this_process(),
        executor="in-process",
        concurrency=8,
        pool_max=pool_max,
    )


async def submitted(
    store: Store, roadmap_id: str = "r", *, concepts: int = 3, share: Share = DEFAULT_SHARE
) -> Run:
    """A queued run."""
    run, _ = await store.create_run(
        roadmap(roadmap_id, concepts=concepts), executor="in-process", new=True, share=share
    )
    return run


async def claimed(
    store: Store,
    roadmap_id: str = "r",
    worker_id: str = "worker",
    *,
    concepts: int = 3,
    share: Share = DEFAULT_SHARE,
) -> Claim:
    """The claim of a new run."""
    run = await submitted(store, roadmap_id, concepts=concepts, share=share)
    return await must_claim(store, run.run_id, worker_id)


async def must_claim(store: Store, run_id: str, worker_id: str = "worker") -> Claim:
    """Claim a run that must be free."""
    claim = await store.claim(run_id, worker_id, lease=LEASE)
    assert claim is not None
    return claim


def ids(runs: Sequence[Run]) -> list[str]:
    """The ids of runs, in order."""
    return [run.run_id for run in runs]
