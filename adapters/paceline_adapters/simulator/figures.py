"""The figures of the simulator, as a provider would bill them.

A call is *in flight* from its admission until its response is sent, its client disconnects or its
connection is cut. An admitted call is *paid* when it ends, even if the answer was not delivered or
not usable. If the client disconnects earlier, the call is *abandoned* and still paid, because
providers bill it. Rejections (429), errors (500, 503) and invalid requests are free. When nothing
is in flight, ``paid == completed + abandoned + faults["disconnect"]``, unless a client disconnected
before the simulator would have cut its connection.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from paceline_adapters.simulator.quota import SlidingWindow

Ending = Literal["completed", "abandoned", "cut"]


class StepFigures(BaseModel):
    """The figures of one step; calls of unknown steps are counted as ``default``."""

    requests: int = 0
    paid: int = 0
    in_flight: int = 0
    in_flight_peak: int = 0


class Figures(BaseModel):
    """The figures at one time; tokens are estimates of about four bytes of UTF-8 each."""

    in_flight: int = 0
    """Admitted calls that are not answered yet."""
    in_flight_peak: int = 0
    requests: int = 0
    """Valid requests for a known model, including those answered 429."""
    rejected: int = 0
    """Requests answered 400, 401, 404 or 413; not part of `requests`."""
    refused: int = 0
    """Requests answered 429, by a limit or by a fault."""
    completed: int = 0
    """Calls with a completely sent answer, usable or not."""
    abandoned: int = 0
    """Paid calls with a client that disconnected before the end of the answer."""
    paid: int = 0
    """Calls that a provider would bill."""
    unusable: int = 0
    """Paid calls with an answer that a fault or the request's `max_tokens` made unusable."""
    faults: dict[str, int] = Field(default_factory=dict)
    """Number of calls by fault."""
    prompts_distinct: int = 0
    """Number of different paid prompts; a prompt is the model and all messages."""
    prompts_paid_twice: int = 0
    """Number of prompts that were paid more than once."""
    paid_again: int = 0
    """Payments beyond the first of each prompt."""
    prompt_tokens: int = 0
    """Tokens of all paid prompts."""
    completion_tokens: int = 0
    """Tokens of all paid answers."""
    requests_last_minute_peak: int = 0
    """Maximum number of requests admitted within one quota window since the last reset."""
    tokens_last_minute_peak: int = 0
    """Maximum number of tokens charged within one quota window since the last reset."""
    by_step: dict[str, StepFigures] = Field(default_factory=dict)


@dataclass(slots=True)
class CountedCall:
    """A counted call in flight; ``era`` is the number of resets before it."""

    step: str
    prompt: str
    era: int
    ended: bool = False


class Counters:
    """Counts calls. All methods run on the server's event loop, so there is no lock."""

    def __init__(self) -> None:
        self._era = 0
        self._now = Figures()
        self._payments: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Calls in flight now."""
        return self._now.in_flight

    def snapshot(self) -> Figures:
        """The current figures."""
        twice = [paid for paid in self._payments.values() if paid > 1]
        return self._now.model_copy(
            deep=True,
            update={
                "prompts_distinct": len(self._payments),
                "prompts_paid_twice": len(twice),
                "paid_again": sum(twice) - len(twice),
            },
        )

    def reset(self) -> None:
        """Reset the figures; calls in flight stay in flight and are not counted when they end."""
        self._era += 1
        steps = {
            name: StepFigures(in_flight=step.in_flight, in_flight_peak=step.in_flight)
            for name, step in self._now.by_step.items()
            if step.in_flight
        }
        now = self._now.in_flight
        self._now = Figures(in_flight=now, in_flight_peak=now, by_step=steps)
        self._payments.clear()

    def count_invalid(self) -> None:
        """Count an invalid request."""
        self._now.rejected += 1

    def count_request(self, step: str) -> None:
        """Count a valid request."""
        self._now.requests += 1
        self._step(step).requests += 1

    def count_refusal(self) -> None:
        """Count a request that was answered 429."""
        self._now.refused += 1

    def count_fault(self, fault: str) -> None:
        """Count a fault."""
        self._now.faults[fault] = self._now.faults.get(fault, 0) + 1

    def count_admission(self, window: SlidingWindow) -> None:
        """Update the peaks of the quota window after an admission."""
        now = self._now
        now.requests_last_minute_peak = max(now.requests_last_minute_peak, len(window))
        now.tokens_last_minute_peak = max(now.tokens_last_minute_peak, window.tokens)

    def begin(self, step: str, prompt: str) -> CountedCall:
        """Count a call as in flight until :meth:`end`."""
        for part in (self._now, self._step(step)):
            part.in_flight += 1
            part.in_flight_peak = max(part.in_flight_peak, part.in_flight)
        return CountedCall(step, prompt, self._era)

    def end(
        self,
        call: CountedCall,
        ending: Ending,
        *,
        prompt_tokens: int,
        completion_tokens: int,
        unusable: bool,
    ) -> None:
        """Count an ended call as paid; a second end of the same call is ignored."""
        if call.ended:
            return
        call.ended = True
        now, step = self._now, self._step(call.step)
        now.in_flight -= 1
        step.in_flight -= 1
        if call.era != self._era:
            return
        now.paid += 1
        step.paid += 1
        now.completed += ending == "completed"
        now.abandoned += ending == "abandoned"
        now.unusable += unusable
        now.prompt_tokens += prompt_tokens
        now.completion_tokens += completion_tokens
        self._payments[call.prompt] += 1

    def _step(self, name: str) -> StepFigures:
        return self._now.by_step.setdefault(name, StepFigures())
