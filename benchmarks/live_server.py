"""The server of ``benchmarks.live``: it has one run and publishes its events on command.

The commands on standard input are ``EVENTS RATE`` (a rate of 0 publishes all at once) and
``memory``. Each is answered with a line of JSON.
"""

import asyncio
import json
import sys
from typing import Any

from paceline import App, Settings, parse_roadmap
from paceline.contracts.telemetry import Gauges
from paceline.generation.event_publisher import EventPublisher
from paceline.generation.progress import Progress
from paceline_adapters.web import Backend, create_app
from paceline_adapters.web.server import Server, config_of, listen

from benchmarks.memory import release_unused, resident

_SETTINGS: dict[str, Any] = {
    "store": {"url": "memory://"},
    "provider": {"base_url": "http://127.0.0.1:9/v1", "api_key": "none"},
    "web": {"max_streams": 10_000, "max_streams_per_client": 10_000, "rate": 100_000},
}


async def main() -> None:
    """Serve until the standard input ends."""
    settings = Settings.model_validate(_SETTINGS)
    async with Backend(App(settings), work=False) as backend:
        with listen(settings.web, "127.0.0.1", 0) as listening:
            server = Server(config_of(create_app(backend), settings.web))
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            progress = await _start_run(backend)
            _print({"port": listening.getsockname()[1], "run_id": progress.claim.run_id})
            while line := await asyncio.to_thread(sys.stdin.readline):
                if line.strip() == "memory":
                    release_unused()
                    _print({"resident": resident()})
                else:
                    events, rate = line.split()
                    _print({"seconds": await _publish(progress, int(events), float(rate))})
            server.should_exit = True
            await backend.hub.close()
            await serving


async def _start_run(backend: Backend) -> Progress:
    concepts = [{"concept_id": f"c{n}", "name": f"Concept {n}"} for n in range(30)]
    module = {"module_id": "m", "name": "M", "concepts": concepts}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    roadmap = {"roadmap_id": "r", "title": "R", "stages": [stage]}
    run, _ = await backend.client.submit(parse_roadmap(roadmap, source="benchmark"))
    claim = await backend.store.claim(run.run_id, "w", lease=1e6)
    assert claim is not None
    return Progress(claim, run.total, EventPublisher(backend.bus, Gauges()))


async def _publish(progress: Progress, events: int, rate: float) -> float:
    """Publish events at an even rate; returns the seconds that it took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(events):
        progress.generating(f"c{number % 30}")
        if rate:
            await asyncio.sleep(started + (number + 1) / rate - loop.time())
    await progress.publisher.flush()
    return loop.time() - started


def _print(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
