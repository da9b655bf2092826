"""The contract of checks: is a finished answer good enough?"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from paceline.contracts.steps.step import StepContext, Subject


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check.

    Attributes:
        answer: the answer as it came, or mended.
        problems: what is wrong with it, in words that a model can act on; empty if nothing is.
    """

    answer: BaseModel
    problems: Sequence[str] = ()


class Check(ABC):
    """Looks at the finished answer of a step, for example whether its links work.

    If it finds problems, the step is made once more: the answer and the problems are sent back.
    If problems remain, the concept fails.
    """

    @abstractmethod
    async def check(self, answer: BaseModel, subject: Subject, ctx: StepContext) -> Checked:
        """Check an answer, and mend what can be mended without a model."""

    async def close(self) -> None:
        """Release what the check holds."""
