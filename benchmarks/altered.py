"""A stranger's strategies: ``global``, told something else of each call.

``thrice`` tells of thrice the tokens, as an estimate does that misjudges the prompts;
``first-come`` says that all calls are of one run, so that nobody is served before who came
earlier. They are installed as any plugin is, so that worker processes find them.
"""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from paceline import Context, Options, Permit, Register, Strategy, Work, hookimpl
from paceline_strategies import global_limit

OptionsT = TypeVar("OptionsT", bound=Options)
Change = Callable[[Work], Work]

CHANGES: dict[str, Change] = {
    "thrice": lambda work: replace(work, tokens=3 * work.tokens),
    "first-come": lambda work: replace(work, run_id="everybody", tenant="", roadmap_id="everybody"),
}


class Altered(Strategy):
    """Asks another strategy for something else than it was asked for.

    Args:
        strategy: who admits.
        change: what the other one is told.
    """

    levels = frozenset({"call"})
    rate_limited = True
    shared = True

    def __init__(self, strategy: Strategy, change: Change) -> None:
        self._strategy = strategy
        self._change = change

    async def admit(self, work: Work) -> Permit:
        """Ask for the altered work."""
        return await self._strategy.admit(self._change(work))

    def explain(self) -> str:
        """What the other one says."""
        return self._strategy.explain()

    async def close(self) -> None:
        """Close the other one."""
        await self._strategy.close()


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Offer them with the options of ``global``."""

    def offer(
        name: str,
        factory: Callable[[OptionsT, Context], Strategy],
        *,
        options: type[OptionsT],
        summary: str,
        advice: str = "",
    ) -> None:
        def altered(change: Change) -> Callable[[OptionsT, Context], Strategy]:
            return lambda given, context: Altered(factory(given, context), change)

        for mine, change in CHANGES.items():
            told = f"{name}, altered: {summary}"
            register(mine, altered(change), options=options, summary=told, advice=advice)

    global_limit.paceline_register_strategies(offer)


@contextmanager
def installed() -> Generator[None]:
    """Let this process, and those that it starts, find them."""
    here = str(Path(__file__).parents[1])
    before = os.environ.get("PYTHONPATH")
    with TemporaryDirectory(prefix="paceline-altered-") as folder:
        metadata = Path(folder) / "altered-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: altered\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text("[paceline]\naltered = benchmarks.altered\n")
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, here, *([before] if before else [])])
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
