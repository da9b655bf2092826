"""A provider that costs next to nothing, so that what is measured is paceline."""

import asyncio

from paceline.contracts.options import NoOptions
from paceline.contracts.provider import Completion, CompletionRequest, Provider
from paceline.plugins.context import Context
from paceline.plugins.hookspecs import Register, hookimpl
from paceline.testing.scripted import plain_answer

#: Seconds that a call takes: long enough that the limit of calls is what binds.
CALL = 0.001


class PlainProvider(Provider):
    """Gives each step its one valid answer after a moment, and remembers nothing."""

    key = "plain:model"

    def __init__(self) -> None:
        self._answers = {step: plain_answer(step) for step in ("tutorial", "resources", "quiz")}
        self.in_flight = 0
        self.peak = 0

    async def complete(self, request: CompletionRequest) -> Completion:
        """Wait, then answer."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(CALL)
        finally:
            self.in_flight -= 1
        text = self._answers[request.step]
        return Completion(text=text, model="model", prompt_tokens=100, completion_tokens=50)


@hookimpl
def paceline_register_providers(register: Register[Provider]) -> None:
    """Offer ``plain``."""

    def make(_: NoOptions, __: Context) -> Provider:
        return PlainProvider()

    register("plain", make, options=NoOptions, summary="One valid answer for each step.")
