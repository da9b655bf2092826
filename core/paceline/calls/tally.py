"""What calls have cost so far."""

from dataclasses import dataclass

from paceline.contracts.provider import Completion
from paceline.contracts.storage.spending import Spent
from paceline.errors import ProviderError
from paceline.settings.model import ProviderSettings


@dataclass(slots=True)
class Tally:
    """What calls of a step have cost so far, whether they succeeded or not.

    Attributes:
        attempts: attempts that were not refused.
        prompt_tokens: tokens of all prompts that were charged.
        completion_tokens: tokens of all answers that were charged.
        cost: their cost at the prices of the models that answered; ``None`` without prices.
        estimated: whether some of these numbers are estimates.
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

    def add(self, charged: Completion | ProviderError, model: ProviderSettings) -> float | None:
        """Count one attempt; returns what its answer or failure cost, if there is a price."""
        cached, cost = 0, None
        if isinstance(charged, Completion):
            cached, cost = charged.cached_prompt_tokens, charged.cost
        if cost is None:
            cost = model.cost(charged.prompt_tokens, charged.completion_tokens, cached)
        self._add(charged.prompt_tokens, charged.completion_tokens, cost)
        self.estimated = self.estimated or charged.estimated
        return cost

    def add_estimate(
        self, prompt_tokens: int, completion_tokens: int, model: ProviderSettings
    ) -> None:
        """Count one attempt that was cancelled: it may be answered and charged all the same."""
        cost = model.cost(prompt_tokens, completion_tokens)
        self._add(prompt_tokens, completion_tokens, cost)
        self.estimated = True

    def _add(self, prompt_tokens: int, completion_tokens: int, cost: float | None) -> None:
        self.attempts += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    def clear(self) -> None:
        """Forget the sums, because they were recorded."""
        self.attempts = self.prompt_tokens = self.completion_tokens = 0
        self.cost, self.estimated = None, False

    def spent(self) -> Spent:
        """The sums as a record."""
        return Spent(
            attempts=self.attempts,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost=self.cost,
            estimated=self.estimated,
        )
