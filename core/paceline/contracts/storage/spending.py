"""What calls cost: attempts, tokens and money."""

from dataclasses import dataclass, field
from typing import Self

from paceline.contracts.storage.timeline import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What some calls cost.

    Attributes:
        attempts: number of calls, without calls that the provider refused.
        prompt_tokens: tokens of the prompts.
        completion_tokens: tokens of the answers, thoughts included.
        cost: cost in the currency of the settings' prices; ``None`` if no price is set.
        estimated: whether some of these numbers are estimates, because the provider did not
            report the tokens or its answer did not arrive.
    """

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Spent") -> Self:
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        return type(self)(
            attempts=self.attempts + other.attempts,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost=sum(costs) if costs else None,
            estimated=self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one claim of a run spent on a step without an artifact so far.

    Attributes:
        concept_id: id of the concept; empty for calls that were in flight when their worker
            was lost.
        step: name of the step; empty as above.
        spent: the sum over all calls of the step in this claim. A later charge of the same
            step and claim replaces it.
        seconds: seconds since the step began.
        phases: what the step did so far; not counted when charges are compared.
    """

    concept_id: str
    step: str
    spent: Spent
    seconds: float = field(default=0.0, compare=False)
    phases: tuple[Phase, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpending:
    """What all claims of a run spent.

    Attributes:
        saved: spent on artifacts, repairs included.
        unsaved: spent without an artifact: failed concepts, cancelled calls, lost workers.
        duplicates: the part of ``unsaved`` that was paid twice: another claim saved the
            artifact, or the calls were in flight when their worker was lost.
    """

    saved: Spent = Spent()
    unsaved: Spent = Spent()
    duplicates: Spent = Spent()

    @property
    def total(self) -> Spent:
        """The sum of both."""
        return self.saved + self.unsaved
