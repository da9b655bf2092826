"""The engine's protocol for contestants, which only implement the generation.

The engine (``paceline_adapters.bench.protocol``) starts a contestant with a ``RoundSpec``. It
generates the small roadmap ``warm_up`` to load modules and open connections and prints ``ready``.
It starts at the line ``go``, prints ``done`` when everything is durable, and exits when its input
ends.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from paceline import Roadmap, load_roadmap
from paceline_adapters.bench.protocol import RoundSpec, print_line

Generate = Callable[[Sequence[Roadmap]], Awaitable[object]]
Contestant = Callable[[RoundSpec], AbstractAsyncContextManager[Generate]]


def compete(contestant: Contestant) -> None:
    """Run a contestant on one event loop."""
    spec = RoundSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    asyncio.run(_run(contestant, spec))


async def _run(contestant: Contestant, spec: RoundSpec) -> None:
    roadmaps = [load_roadmap(path) for path in spec.roadmaps]
    warm_up = load_roadmap(spec.warm_up)
    async with contestant(spec) as generate:
        await generate([warm_up])
        print_line("ready")
        if await asyncio.to_thread(sys.stdin.readline) == "go\n":
            await generate(roadmaps)
            print_line("done")
            await asyncio.to_thread(sys.stdin.read)
