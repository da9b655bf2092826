"""Third-party strategies that change each call before ``global`` admits it.

``overestimate`` triples the tokens of each call, like a wrong estimate. ``fifo`` assigns all calls
to one run, so that ``global`` admits them first come, first served. The strategies are installed as
a plugin, so worker processes find them.
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
    "overestimate": lambda work: replace(work, tokens=3 * work.tokens),
    "fifo": lambda work: replace(work, run_id="all", tenant="", roadmap_id="all"),
}


class AlteredStrategy(Strategy):
    """Changes each work item and passes it to another strategy.

    Args:
        strategy: the strategy that admits the changed work.
        change: changes a work item.
    """

    levels = frozenset({"call"})
    rate_limited = True
    shared = True

    def __init__(self, strategy: Strategy, change: Change) -> None:
        self._strategy = strategy
        self._change = change

    async def admit(self, work: Work) -> Permit:
        """Admit the changed work."""
        return await self._strategy.admit(self._change(work))

    def explain(self) -> str:
        """The explanation of the other strategy."""
        return self._strategy.explain()

    async def close(self) -> None:
        """Close the other strategy."""
        await self._strategy.close()


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Register them with the options of ``global``."""

    def register_altered(
        name: str,
        factory: Callable[[OptionsT, Context], Strategy],
        *,
        options: type[OptionsT],
        summary: str,
        advice: str = "",
    ) -> None:
        def altered(change: Change) -> Callable[[OptionsT, Context], Strategy]:
            return lambda given, context: AlteredStrategy(factory(given, context), change)

        for altered_name, change in CHANGES.items():
            register(
                altered_name,
                altered(change),
                options=options,
                summary=f"{name}, altered: {summary}",
                advice=advice,
            )

    global_limit.paceline_register_strategies(register_altered)


@contextmanager
def installed() -> Generator[None]:
    """Install the plugin for this process and its child processes."""
    here = str(Path(__file__).parents[1])
    before = os.environ.get("PYTHONPATH")
    with TemporaryDirectory(prefix="paceline-altered-") as folder:
        metadata = Path(folder) / "altered-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: altered\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(
            "[paceline]\naltered = benchmarks.altered_strategies\n"
        )
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
