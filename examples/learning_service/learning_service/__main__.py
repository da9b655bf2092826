"""Generate a roadmap for a learner and print the service's events.

Run as ``python -m learning_service roadmap.yaml learner.yaml``.
"""

import asyncio
import json
import sys
from pathlib import Path

import paceline
import yaml

from learning_service.events import service_events


async def main(roadmap: paceline.Roadmap, learner: dict[str, object]) -> int:
    """Submit the roadmap, and print each event as one line of JSON; returns the exit code."""
    async with paceline.App.load().client(work=True) as client:
        run, _ = await client.submit(roadmap, context=learner)
        async for event in service_events(client, run.run_id):
            sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        return 0 if (await client.run(run.run_id)).status == "completed" else 1


if __name__ == "__main__":
    roadmap_file, learner_file = map(Path, sys.argv[1:3])
    profile = yaml.safe_load(learner_file.read_text())
    sys.exit(asyncio.run(main(paceline.load_roadmap(roadmap_file), profile)))
