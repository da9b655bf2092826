"""The server of ``benchmarks.live``: a run to watch, and events published when it is told to.

Reads lines of ``EVENTS RATE`` from its standard input (a rate of 0 publishes all at once) and
``memory``; answers each with a line of JSON.
"""

import asyncio
import json
import sys
from typing import Any

from paceline.contracts.telemetry import Gauges
from paceline.roadmaps.model import parse_roadmap
from paceline.runtime.event_publisher import EventPublisher
from paceline.runtime.progress import Progress
from paceline.settings.model import Settings
from paceline_adapters.web import Backend, create_app
from paceline_adapters.web.server import Server, config_of, listen

from benchmarks.memory import resident, settle

_SETTINGS: dict[str, Any] = {
    "store": {"url": "memory://"},
    "provider": {"base_url": "http://127.0.0.1:9/v1", "api_key": "none"},
    "web": {"max_streams": 10_000, "max_streams_per_client": 10_000, "rate": 100_000},
}


async def main() -> None:
    """Serve until the standard input ends."""
    settings = Settings.model_validate(_SETTINGS)
    async with Backend(settings, work=False) as backend:
        with listen(settings.web, "127.0.0.1", 0) as listening:
            server = Server(config_of(create_app(backend), settings.web))
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            work = await _a_run(backend)
            _say({"port": listening.getsockname()[1], "run_id": work.claim.run_id})
            while line := await asyncio.to_thread(sys.stdin.readline):
                if line.strip() == "memory":
                    settle()
                    _say({"resident": resident()})
                else:
                    events, rate = line.split()
                    _say({"seconds": await _publish(work, int(events), float(rate))})
            server.should_exit = True
            await backend.hub.close()
            await serving


async def _a_run(backend: Backend) -> Progress:
    concepts = [{"concept_id": f"c{n}", "name": f"Concept {n}"} for n in range(30)]
    module = {"module_id": "m", "name": "M", "concepts": concepts}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    roadmap = {"roadmap_id": "r", "title": "R", "stages": [stage]}
    given = parse_roadmap(roadmap, source="benchmark")
    run, _ = await backend.service.submit(given)
    claim = await backend.store.claim(run.run_id, "w", lease=1e6)
    assert claim is not None
    return Progress(claim, run.total, EventPublisher(backend.bus, Gauges()))


async def _publish(work: Progress, events: int, rate: float) -> float:
    """Publish so many events, evenly spread; returns the seconds that it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(events):
        work.generating(f"c{number % 30}")
        if rate:
            await asyncio.sleep(begun + (number + 1) / rate - loop.time())
    await work.outbox.flush()
    return loop.time() - begun


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
