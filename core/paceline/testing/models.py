"""A model of a provider in virtual time, for tests: it can serve a whole pipeline.

`ModelServer` describes how it behaves: concurrency, quotas per minute, latency. It serves to try
out strategies: ``call`` handles one admitted call.
"""

from dataclasses import dataclass

from paceline.contracts.admission.work import RateLimited
from paceline.contracts.provider import Completion, CompletionRequest, Provider
from paceline.errors import Refused
from paceline.planning.virtual.model_server import ModelServer, Others, Steps, always, headers_of
from paceline.testing.scripted import plain_answer

__all__ = ["ModelProvider", "Others", "Steps", "always"]


@dataclass(kw_only=True)
class ModelProvider(ModelServer, Provider):
    """A simulated provider.

    Attributes:
        key: provider and model.
    """

    key: str = "provider:model"

    async def complete(self, request: CompletionRequest) -> Completion:
        """Answer with a short, valid artifact of a built-in step.

        Raises:
            paceline.errors.Refused: the call was refused.
        """
        charged = round(self.charged * request.estimated_tokens())
        outcome = await self.call(charged, request.step)
        headers = headers_of(outcome.rate_limit_info)
        if isinstance(outcome, RateLimited):
            raise Refused("Too much for now.", outcome.retry_after, headers)
        return Completion(
            text=plain_answer(request.step),
            model=self.key,
            prompt_tokens=max(1, charged - request.max_tokens),
            completion_tokens=1,
            rate_limit_headers=headers,
        )
