"""Ended runs in bulk, for ``benchmarks.ended_runs``."""

from collections.abc import Iterator
from typing import Any

from paceline.contracts.identity import new_run_id
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.store.inputs import roadmap
from paceline_adapters.sql.columns import now
from paceline_adapters.sql.store import SqlStore
from paceline_adapters.sql.tables import artifacts, concepts, roadmaps, runs, submissions
from sqlalchemy import insert, text

#: Steps of each concept.
STEPS = ("tutorial", "resources", "quiz")
#: Number of runs of one transaction.
_TOGETHER = 50


async def fill(store: Store, count: int, size: int) -> None:
    """Add ended runs with this number of concepts each.

    They are written to the tables at once, because saving each artifact would take hours.
    """
    assert isinstance(store, SqlStore)
    database = store._database  # noqa: SLF001 - the benchmark writes beside the store
    made = [roadmap(f"r{number}", concepts=size) for number in range(min(count, 100))]
    for start in range(0, count, _TOGETHER):
        numbers = range(start, min(count, start + _TOGETHER))
        ids = [new_run_id() for _ in numbers]
        one_of = [made[number % len(made)] for number in numbers]

        async def write(
            connection: Any, ids: Any = ids, one_of: Any = one_of, at: int = start
        ) -> None:
            await connection.execute(
                insert(runs).values(created_at=now(), started_at=now(), finished_at=now()),
                [
                    _run(run_id, plan, at + number)
                    for number, (run_id, plan) in enumerate(zip(ids, one_of, strict=True))
                ],
            )
            contents = [
                {"run_id": run_id, "content": plan.to_json()}
                for run_id, plan in zip(ids, one_of, strict=True)
            ]
            await connection.execute(insert(roadmaps), contents)
            keys = [{"submission_key": f"key {run_id}", "run_id": run_id} for run_id in ids]
            await connection.execute(insert(submissions), keys)
            states = [row for run_id in ids for row in _concepts(run_id, size)]
            await connection.execute(insert(concepts).values(updated_at=now()), states)
            saved = [
                row
                for run_id, plan in zip(ids, one_of, strict=True)
                for row in _artifacts(run_id, plan.roadmap_id, size)
            ]
            await connection.execute(insert(artifacts).values(created_at=now()), saved)

        await database.write(write)
    # As the server does by itself after a while.
    await database.write(lambda connection: connection.execute(text("ANALYZE")))


def _run(run_id: str, plan: Any, number: int) -> dict[str, object]:
    return {
        "run_id": run_id,
        "roadmap_id": plan.roadmap_id,
        "generation": number + 1,
        "status": "completed",
        "title": plan.title,
        "content_hash": "0" * 64,
        "executor": "x",
        "total": 0,
        "fence": 1,
        "cancel_requested": False,
        "takeovers": 0,
        "artifacts_at_claim": 0,
        "tenant": "acme" if number % 2 else "",
    }


def _concepts(run_id: str, size: int) -> Iterator[dict[str, object]]:
    for number in range(size):
        yield {
            "run_id": run_id,
            "concept_id": f"c{number}",
            "position": number,
            "status": "completed",
            "attempts": 3,
        }


def _artifacts(run_id: str, roadmap_id: str, size: int) -> Iterator[dict[str, object]]:
    for number in range(size):
        for step in STEPS:
            yield {
                "run_id": run_id,
                "roadmap_id": roadmap_id,
                "concept_id": f"c{number}",
                "step": step,
                "content": '{"text": "short"}',
                "model": "m",
                "prompt_tokens": 500,
                "completion_tokens": 900,
                "cost": 0.01,
                "seconds": 20.0,
                "attempts": 1,
                "input_hash": f"{run_id}{number}{step}",
                "fence": 1,
            }
