"""How a contestant's process is driven: one document in, three words over its pipes.

It is started with the path of a JSON document (see ``Assignment``) and generates the small
roadmap ``warm_up``, so that modules, connections and pools are there. Then it prints ``ready``;
at the line ``go`` it begins, and it prints ``done`` when everything is durable. At the end of
its input it exits.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from paceline.roadmap import Roadmap, load_roadmap
from pydantic import BaseModel

Generate = Callable[[Sequence[Roadmap]], Awaitable[object]]


class Assignment(BaseModel):
    """What to generate, and with which servers.

    Attributes:
        roadmaps: files of the roadmaps that are measured.
        warm_up: file of a small one that is generated before.
        base_url: address of the API.
        api_key: its key.
        model: model to ask.
        store_url: database, as ``store.url`` of paceline names it.
        redis_url: broker and event server, where the contestant needs one.
        settings: settings of paceline by dotted path; contestants follow those they know.
    """

    roadmaps: list[Path]
    warm_up: Path
    base_url: str
    api_key: str
    model: str
    store_url: str
    redis_url: str | None = None
    settings: dict[str, str | int | float | bool] = {}


Contestant = Callable[[Assignment], AbstractAsyncContextManager[Generate]]


def compete(contestant: Contestant) -> None:
    """Be driven, on one event loop from the first line to the last."""
    assignment = Assignment.model_validate_json(Path(sys.argv[1]).read_bytes())
    asyncio.run(_driven(contestant, assignment))


async def _driven(contestant: Contestant, assignment: Assignment) -> None:
    roadmaps = [load_roadmap(path) for path in assignment.roadmaps]
    warm_up = load_roadmap(assignment.warm_up)
    async with contestant(assignment) as generate:
        await generate([warm_up])
        _say("ready")
        if await asyncio.to_thread(sys.stdin.readline) == "go\n":
            await generate(roadmaps)
            _say("done")
            await asyncio.to_thread(sys.stdin.read)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
