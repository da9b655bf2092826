"""Cells: combinations of strategy, executor and store, and how a user writes them.

A part is the name of a registered plugin, with options after a colon: ``celery:pool=threads``.
Strategies stack with ``+``, outer first: ``per-roadmap:limit=5+global:concurrency=64``. A store's
option ``url`` is its address, and ``{folder}`` in an option is the empty folder of the round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from paceline.planning.stacks import Part, parse_stack

#: Stores for which the benchmark makes an empty database for each round.
SERVED = ("sqlite", "postgresql")
#: A store that only the process that made it can see.
ONE_PROCESS = "memory"
#: Stands for the empty folder of a round in the options of a store.
FOLDER_MARK = "{folder}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination to measure.

    Attributes:
        strategy: the stack, outer first.
        contestant: name of a hand-written program that is measured instead of paceline; the
            other fields then name the cell that it is compared with.
    """

    strategy: tuple[Part, ...]
    executor: Part
    store: Part
    contestant: str = ""

    @property
    def name(self) -> str:
        """The name in reports and for ``--benchmark-compare``; unique in a matrix."""
        if self.contestant:
            return f"{self.contestant} (by hand) / {self.store}"
        stack = "+".join(map(str, self.strategy))
        return f"{stack} / {self.executor} / {self.store}"

    def settings(self) -> Mapping[str, str]:
        """The settings of this cell, by dotted path."""
        found = {
            "strategy": ",".join(part.name for part in self.strategy),
            "executor": self.executor.name,
        }
        for part in self.strategy:
            found |= {f"strategies.{part.name}.{key}": value for key, value in part.options}
        name = self.executor.name
        found |= {f"executors.{name}.{key}": value for key, value in self.executor.options}
        for key, value in self.store.options:
            found["store.url" if key == "url" else f"stores.{self.store.name}.{key}"] = value
        return found

    @property
    def store_url(self) -> str:
        """The address of a store that the benchmark does not serve."""
        return dict(self.store.options).get("url", f"{self.store.name}:")


def matrix(
    strategies: Sequence[str], executors: Sequence[str], stores: Sequence[str]
) -> list[Cell]:
    """Every combination, in the order given. Raises as ``Part.parse``."""
    stacks = [parse_stack(text) for text in strategies]
    parts = [Part.parse(text) for text in executors]
    return [Cell(*one) for one in product(stacks, parts, map(Part.parse, stores))]
