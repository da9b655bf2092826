"""A provider that answers by a test's script, without a server."""

import asyncio
import json
from collections.abc import Callable, Mapping

from pydantic import BaseModel

from paceline.contracts.provider import Completion, CompletionRequest, Provider

_ANSWERS: Mapping[str, object] = {
    "tutorial": {
        "title": "A title",
        "summary": "A summary.",
        "sections": [{"title": "One", "content": "Some *text*.", "kind": "explanation"}],
        "exercises": ["Do it."],
        "minutes": 10,
    },
    "resources": {
        "resources": [
            {"title": "A page", "url": "https://example.org/", "type": "article", "why": "Good."}
        ]
    },
    "quiz": {
        "questions": [
            {
                "question": "Which?",
                "options": ["this", "that"],
                "answer": [0],
                "explanation": "Because.",
                "difficulty": "easy",
            }
        ]
    },
}

#: Duration of a call in seconds, and its answer or error.
Reply = tuple[float, str | BaseModel | Completion | Exception]
Script = Callable[[CompletionRequest, int], Reply]


def plain_answer(step: str) -> str:
    """A short valid answer for a built-in step."""
    return json.dumps(_ANSWERS[step])


def _answer_in_a_second(request: CompletionRequest, _: int) -> Reply:
    return 1.0, plain_answer(request.step)


class ScriptedProvider(Provider):
    """Answers by a script, and counts the calls.

    Args:
        script: called with each request and its number, from 1. Returns how long the call takes
            and what it answers or raises.
        model: name of the model.

    Attributes:
        in_flight: number of calls in flight.
        peak: highest number of calls in flight so far.
        requests: every request, in order.
    """

    def __init__(self, script: Script | None = None, *, model: str = "model") -> None:
        self.key = f"scripted:{model}"
        self._model = model
        self._script: Script = script or _answer_in_a_second
        self.in_flight = 0
        self.peak = 0
        self.requests: list[CompletionRequest] = []

    async def complete(self, request: CompletionRequest) -> Completion:
        """Sleep for the scripted time, then answer or raise."""
        self.requests.append(request)
        seconds, reply = self._script(request, len(self.requests))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.in_flight -= 1
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Completion):
            return reply
        text = reply.model_dump_json() if isinstance(reply, BaseModel) else reply
        return Completion(text=text, model=self._model, prompt_tokens=100, completion_tokens=50)
