"""How a contestant follows the engine's protocol: it says how it generates, nothing more.

The engine (``paceline_adapters.bench.protocol``) starts it with an ``RoundSpec``. It generates the
small roadmap ``warm_up``, so that modules, connections and pools are there, says ``ready``,
begins at the word ``go``, says ``done`` when everything is durable, and exits with its input.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from paceline.roadmaps.model import Roadmap, load_roadmap
from paceline_adapters.bench.protocol import RoundSpec

Generate = Callable[[Sequence[Roadmap]], Awaitable[object]]
Contestant = Callable[[RoundSpec], AbstractAsyncContextManager[Generate]]


def compete(contestant: Contestant) -> None:
    """Be driven, on one event loop from the first word to the last."""
    order = RoundSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    asyncio.run(_driven(contestant, order))


async def _driven(contestant: Contestant, order: RoundSpec) -> None:
    roadmaps = [load_roadmap(path) for path in order.roadmaps]
    warm_up = load_roadmap(order.warm_up)
    async with contestant(order) as generate:
        await generate([warm_up])
        _say("ready")
        if await asyncio.to_thread(sys.stdin.readline) == "go\n":
            await generate(roadmaps)
            _say("done")
            await asyncio.to_thread(sys.stdin.read)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
