"""Celery prefork with eight processes, a task per roadmap, ``asyncio.run`` inside each.

Concepts are gathered, each committed when it is whole, and every event is published to Redis.
Client and pool are made in each task: on the loop of a task before they would not work.
"""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from paceline.contracts.step import Subject
from paceline.roadmaps.model import Roadmap
from paceline.testing.spawn import spawn
from paceline_adapters.bench.protocol import RoundSpec
from redis.asyncio import Redis

from benchmarks.contestants.compete import Generate, compete
from benchmarks.contestants.work import (
    STEPS,
    ask,
    begin_run,
    insert_artifact,
    make_client,
    open_database,
    subjects,
    validate,
)

#: What of ours it is compared with, and where its number of processes comes from.
EXECUTOR = "celery:concurrency=8"
MODULE = "benchmarks.contestants.origin_celery"
OPTIONS = ["--pool=prefork", "--without-gossip", "--without-mingle"]
app = Celery("origin")
app.conf.worker_prefetch_multiplier = 1


def generate_roadmap(assigned: str, roadmap: str) -> None:
    """Generate one roadmap, on an event loop of its own."""
    order = RoundSpec.model_validate_json(assigned)
    asyncio.run(_generate(order, Roadmap.model_validate_json(roadmap)))


task: Any = app.task(generate_roadmap, name="generate")


async def _generate(order: RoundSpec, roadmap: Roadmap) -> None:
    async with (
        make_client(order.base_url, order.api_key) as client,
        open_database(order) as database,
        Redis.from_url(order.redis_url or "") as redis,
    ):
        async with database.begin() as connection:
            run_id = await begin_run(connection, roadmap)

        async def tell(subject: Subject, status: str, step: str | None = None) -> None:
            event = {"concept_id": subject.concept.concept_id, "status": status, "step": step}
            await redis.publish(f"progress:{run_id}", json.dumps({"task_id": run_id, **event}))

        async def concept(subject: Subject) -> None:
            await tell(subject, "generating")
            rows: list[dict[str, object]] = []
            for step in STEPS:
                row = validate(await ask(client, order.model, subject, step), subject)
                rows.append({"run_id": run_id, **row})
                await tell(subject, "generating", step)
            async with database.begin() as connection:
                await connection.execute(insert_artifact, rows)
            await tell(subject, "completed")

        await asyncio.gather(*map(concept, subjects(roadmap)))


@asynccontextmanager
async def celery(order: RoundSpec) -> AsyncGenerator[Generate]:
    """A worker of its own, and a task for each roadmap."""
    assert order.redis_url is not None
    app.conf.update(broker_url=order.redis_url, result_backend=order.redis_url)
    assigned = order.model_dump_json()
    async with open_database(order):  # the tables are there before eight ask for them
        pass

    async def generate(roadmaps: Sequence[Roadmap]) -> None:
        results = [task.delay(assigned, roadmap.to_json()) for roadmap in roadmaps]
        for result in results:
            await asyncio.to_thread(result.get)

    processes = order.settings["executors.celery.concurrency"]
    options = [*OPTIONS, f"--concurrency={processes}"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        servers = ["--broker", order.redis_url, "--result-backend", order.redis_url]
        worker = spawn(
            [sys.executable, "-m", "celery", "--app", MODULE, *servers, "worker", *options],
            home=Path.cwd(),
            log=log,
            end_signal=signal.SIGTERM,
        )
        try:
            yield generate
        finally:
            worker.terminate()
            worker.wait()


if __name__ == "__main__":
    compete(celery)
