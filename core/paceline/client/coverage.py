"""What exists of each concept of a run and what is missing, in words and for ``--json``."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from paceline.contracts.storage.records import ConceptState
from paceline.text import count

#: ``incomplete`` concepts have some of their artifacts; ``not generated`` ones have none.
Kind = Literal["complete", "failed", "skipped", "incomplete", "not generated"]
_KINDS: tuple[Kind, ...] = ("failed", "skipped", "incomplete", "not generated")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What exists of one concept.

    Attributes:
        state: the concept.
        existing: the steps with an artifact.
        missing: the steps without one, in the order of the settings. A completed concept lacks
            none, even if the settings have other steps now.
    """

    state: ConceptState
    existing: Collection[str]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, steps: Sequence[str], state: ConceptState, existing: Collection[str]) -> "Coverage":
        """The coverage of a concept with these artifacts, in a run with these steps."""
        needed = () if state.status == "completed" else steps
        return cls(state, existing, tuple(step for step in needed if step not in existing))

    @property
    def kind(self) -> Kind:
        """The status in the words of a reader."""
        status = self.state.status
        if status in ("failed", "skipped"):
            return status
        if not self.missing:
            return "complete"
        return "incomplete" if self.existing else "not generated"

    @property
    def remark(self) -> str:
        """One line on why the concept is not complete; empty if it is."""
        if self.kind == "complete":
            return ""
        remark: str = self.kind
        if self.kind == "not generated":
            remark += " yet"
        if self.existing and self.missing:
            remark += f" (missing: {', '.join(self.missing)})"
        if self.state.reason:
            remark += f": {' '.join(self.state.reason.split())}"
        return remark


def summary(concepts: Iterable[Coverage]) -> str:
    """``3 of 10 concepts complete, 1 failed, 6 not generated``; empty if all are complete."""
    kinds = Counter(concept.kind for concept in concepts)
    total, complete = kinds.total(), kinds["complete"]
    if complete == total:
        return ""
    others = [f"{kinds[kind]} {kind}" for kind in _KINDS if kinds[kind]]
    return ", ".join([f"{complete} of {count(total, 'concept')} complete", *others])
