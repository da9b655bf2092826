"""What the same work takes at least: the list schedule of its drawn latencies, at no cost.

The latencies are those that the simulated provider drew for the prompts that were sent. They
are drawn again here, from prompts that are put together again out of what was saved.
"""

import heapq
import json
import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import cast

from paceline.roadmap import Roadmap
from paceline_adapters.simulator import latency
from paceline_adapters.simulator.engine import Engine
from paceline_adapters.simulator.options import SimulatorOptions
from paceline_adapters.simulator.wire import read_request

from benchmarks.contestants.work import STEPS, subjects

#: Seconds of each step of a concept, in order.
Chain = tuple[float, ...]


def by_concepts(chains: Sequence[Chain], limit: int) -> float:
    """Makespan where at most ``limit`` chains run at once, begun in order, none waiting between."""
    free = [0.0] * min(limit, len(chains))
    for chain in chains:
        heapq.heapreplace(free, free[0] + sum(chain))
    return max(free)


def by_calls(roadmaps: Sequence[Sequence[Chain]], limit: int) -> float:
    """Makespan where at most ``limit`` calls run at once, each begun in the order it was ready.

    First calls are ready from the beginning, in turn of their roadmaps; each other one is when
    the one before it ends.
    """
    in_turn = (chain for turn in zip_longest(*roadmaps) for chain in turn if chain is not None)
    ready = deque((chain, 0) for chain in in_turn)
    running: list[tuple[float, int, Chain, int]] = []
    now = 0.0
    begun = 0
    while ready or running:
        while ready and len(running) < limit:
            chain, step = ready.popleft()
            heapq.heappush(running, (now + chain[step], begun, chain, step))
            begun += 1
        now, _, chain, step = heapq.heappop(running)
        if step + 1 < len(chain):
            ready.append((chain, step + 1))
    return now


def drawn(
    roadmaps: Sequence[Roadmap], store: Path, log: Path, *, model: str, speed: float
) -> list[list[Chain]]:
    """Latencies of every concept's calls, by roadmap.

    Args:
        roadmaps: what was generated.
        store: the SQLite database it was saved in.
        log: the simulated provider's request log, to see that these prompts were sent.
        model: the model that was asked.
        speed: what latencies were divided by.

    Raises:
        ValueError: another prompt was sent than can be put together again.
    """
    engine = Engine(SimulatorOptions())
    asked = {cast("str", json.loads(line)["prompt"]) for line in log.read_text().splitlines()}
    with sqlite3.connect(store) as connection:
        rows = connection.execute("SELECT roadmap_id, concept_id, step, content FROM artifacts")
        contents = {(roadmap, concept, step): text for roadmap, concept, step, text in rows}

    def seconds(step: str, prompt: Sequence[Mapping[str, str]]) -> float:
        body = {"model": model, "messages": prompt}
        identity = engine.identify(read_request(json.dumps(body).encode()))
        if identity.prompt not in asked:
            raise ValueError(f"the simulator's log does not hold this prompt of {step}: {prompt}")
        drawn = latency.draw(
            engine.options.latency,
            seed=engine.options.seed,
            step=step,
            prompt=identity.prompt,
            attempt=1,
        )
        return drawn / speed

    found: list[list[Chain]] = []
    for roadmap in roadmaps:
        chains: list[Chain] = []
        for subject in subjects(roadmap):
            chain: list[float] = []
            for name, step in STEPS.items():
                messages = step.prompt(subject)
                chain.append(
                    seconds(name, [{"role": m.role, "content": m.content} for m in messages])
                )
                content = contents[roadmap.roadmap_id, subject.concept.concept_id, name]
                earlier = cast("dict[str, object]", subject.earlier)
                earlier[name] = step.answer.model_validate_json(content)
            chains.append(tuple(chain))
        found.append(chains)
    return found
