"""Celery prefork with eight processes, a task per roadmap, and ``asyncio.run`` in each task.

All concepts run in ``asyncio.gather``; each is committed when it is complete, and every event is
published to Redis. Each task creates its own client and pool, because they do not work on the event
loop of another task.
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
from paceline import Roadmap, Subject
from paceline.testing.spawn import spawn
from paceline_adapters.bench.protocol import RoundSpec
from redis.asyncio import Redis

from benchmarks.contestants.compete import Generate, compete
from benchmarks.contestants.work import (
    STEPS,
    ask,
    insert_artifact,
    insert_run,
    make_client,
    open_database,
    subjects,
    validate,
)

#: The executor that it is compared with; it also sets the number of processes.
EXECUTOR = "celery:concurrency=8"
MODULE = "benchmarks.contestants.origin_celery"
OPTIONS = ["--pool=prefork", "--without-gossip", "--without-mingle"]
app = Celery("origin")
app.conf.worker_prefetch_multiplier = 1


def generate_roadmap(spec_json: str, roadmap: str) -> None:
    """Generate one roadmap on a new event loop."""
    spec = RoundSpec.model_validate_json(spec_json)
    asyncio.run(_generate(spec, Roadmap.model_validate_json(roadmap)))


task: Any = app.task(generate_roadmap, name="generate")


async def _generate(spec: RoundSpec, roadmap: Roadmap) -> None:
    async with (
        make_client(spec.base_url, spec.api_key) as client,
        open_database(spec) as database,
        Redis.from_url(spec.redis_url or "") as redis,
    ):
        async with database.begin() as connection:
            run_id = await insert_run(connection, roadmap)

        async def publish(subject: Subject, status: str, step: str | None = None) -> None:
            event = {"concept_id": subject.concept.concept_id, "status": status, "step": step}
            await redis.publish(f"progress:{run_id}", json.dumps({"task_id": run_id, **event}))

        async def concept(subject: Subject) -> None:
            await publish(subject, "generating")
            rows: list[dict[str, object]] = []
            for step in STEPS:
                row = validate(await ask(client, spec.model, subject, step), subject)
                rows.append({"run_id": run_id, **row})
                await publish(subject, "generating", step)
            async with database.begin() as connection:
                await connection.execute(insert_artifact, rows)
            await publish(subject, "completed")

        await asyncio.gather(*map(concept, subjects(roadmap)))


@asynccontextmanager
async def celery(spec: RoundSpec) -> AsyncGenerator[Generate]:
    """Start a worker; each roadmap is a task."""
    assert spec.redis_url is not None
    app.conf.update(broker_url=spec.redis_url, result_backend=spec.redis_url)
    spec_json = spec.model_dump_json()
    async with open_database(spec):  # create the tables before eight processes need them
        pass

    async def generate(roadmaps: Sequence[Roadmap]) -> None:
        results = [task.delay(spec_json, roadmap.to_json()) for roadmap in roadmaps]
        for result in results:
            await asyncio.to_thread(result.get)

    processes = spec.settings["executors.celery.concurrency"]
    options = [*OPTIONS, f"--concurrency={processes}"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        servers = ["--broker", spec.redis_url, "--result-backend", spec.redis_url]
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
