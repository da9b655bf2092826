"""A provider with almost no cost, so that the benchmark measures paceline."""

import asyncio

from paceline import (
    Completion,
    CompletionRequest,
    Context,
    NoOptions,
    Provider,
    Register,
    hookimpl,
)
from paceline.testing.scripted import plain_answer

#: Latency of a call in seconds, long enough that the limit of calls is reached.
CALL = 0.001


class PlainProvider(Provider):
    """Returns the same valid answer for each step after a short delay."""

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
    """Register ``plain``."""

    def make(_: NoOptions, __: Context) -> Provider:
        return PlainProvider()

    register("plain", make, options=NoOptions, summary="The same valid answer for each step.")
