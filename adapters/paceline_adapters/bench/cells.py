"""Cells: combinations of strategy, executor and store, and how a user writes them.

A part is the name of a registered plugin, with options after a colon: ``celery:pool=threads``.
Strategies stack with ``+``, outer first: ``per-roadmap:limit=5+global:concurrency=64``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from paceline.planning.stacks import Part, parse_stack

StoreName = Literal["sqlite", "postgresql"]
STORES: tuple[StoreName, ...] = ("sqlite", "postgresql")


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
    store: StoreName
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
        return found


def matrix(
    strategies: Sequence[str], executors: Sequence[str], stores: Sequence[StoreName]
) -> list[Cell]:
    """Every combination, in the order given. Raises as ``Part.parse``."""
    stacks = [parse_stack(text) for text in strategies]
    parts = [Part.parse(text) for text in executors]
    return [Cell(*one) for one in product(stacks, parts, stores)]
