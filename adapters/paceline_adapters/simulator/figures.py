"""What the simulator counts, in the words of whoever pays the bill.

A call is *in flight* from its admission until its answer is out, the client is gone or the
connection was cut. A call is *paid* when it ends, once its answer was computed: delivered or
not, usable or not. A client that goes in the middle (or that a hanging call drives away) has
*abandoned* a call that is paid all the same, because providers bill it. Only what never came
to generating is free: refusals (429), errors (500, 503) and requests that were not understood.
So ``paid == completed + abandoned + faults["disconnect"]`` whenever nothing is in flight, as
long as no call was abandoned before its connection would have been cut.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from paceline_adapters.simulator.quota import SlidingWindow

Ending = Literal["completed", "abandoned", "cut"]


class StepFigures(BaseModel):
    """The share of one step; calls of no known step stand under ``default``."""

    requests: int = 0
    paid: int = 0
    in_flight: int = 0
    in_flight_peak: int = 0


class Figures(BaseModel):
    """The figures at one moment; tokens are estimates, about four bytes of UTF-8 each."""

    in_flight: int = 0
    """Calls that were admitted and are not answered yet."""
    in_flight_peak: int = 0
    requests: int = 0
    """Well-formed requests for a known model, refused ones included."""
    rejected: int = 0
    """Requests answered 400, 401, 404 or 413; not part of `requests`."""
    refused: int = 0
    """Requests answered 429, by a limit or by a fault."""
    completed: int = 0
    """Calls whose answer went out to its end, usable or not."""
    abandoned: int = 0
    """Calls whose client went before the answer was out; they are paid."""
    paid: int = 0
    """Calls that a provider would bill."""
    unusable: int = 0
    """Paid calls whose answer a fault, or the request's own `max_tokens`, made unusable."""
    faults: dict[str, int] = Field(default_factory=dict)
    """Calls that were hit, by fault."""
    prompts_distinct: int = 0
    """Different prompts that were paid; a prompt is the model and all messages."""
    prompts_paid_twice: int = 0
    """Prompts that were paid more than once."""
    paid_again: int = 0
    """Payments beyond the first of each prompt."""
    prompt_tokens: int = 0
    """Tokens of all paid prompts."""
    completion_tokens: int = 0
    """Tokens of all paid answers."""
    requests_last_minute_peak: int = 0
    """Most requests admitted within one quota window, ever since the last reset."""
    tokens_last_minute_peak: int = 0
    """Most tokens charged at admission within one quota window."""
    by_step: dict[str, StepFigures] = Field(default_factory=dict)


@dataclass(slots=True)
class Counted:
    """A call in flight, as the figures know it; ``era`` tells which reset it came after."""

    step: str
    prompt: str
    era: int
    ended: bool = False


class Tally:
    """Counts. Everything happens on the server's loop, so nothing is locked."""

    def __init__(self) -> None:
        self._era = 0
        self._now = Figures()
        self._payments: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Calls in flight now."""
        return self._now.in_flight

    def snapshot(self) -> Figures:
        """The figures as of now."""
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
        """Count from zero; calls in flight stay in flight, and end uncounted."""
        self._era += 1
        steps = {
            name: StepFigures(in_flight=step.in_flight, in_flight_peak=step.in_flight)
            for name, step in self._now.by_step.items()
            if step.in_flight
        }
        now = self._now.in_flight
        self._now = Figures(in_flight=now, in_flight_peak=now, by_step=steps)
        self._payments.clear()

    def rejected(self) -> None:
        """A request was not understood."""
        self._now.rejected += 1

    def asked(self, step: str) -> None:
        """A request was understood."""
        self._now.requests += 1
        self._step(step).requests += 1

    def refused(self) -> None:
        """A request was answered 429."""
        self._now.refused += 1

    def hit(self, fault: str) -> None:
        """A fault hit a request."""
        self._now.faults[fault] = self._now.faults.get(fault, 0) + 1

    def admitted(self, window: SlidingWindow) -> None:
        """The window has grown by a request."""
        now = self._now
        now.requests_last_minute_peak = max(now.requests_last_minute_peak, len(window))
        now.tokens_last_minute_peak = max(now.tokens_last_minute_peak, window.tokens)

    def begin(self, step: str, prompt: str) -> Counted:
        """A call is in flight from now on, until :meth:`end`."""
        for part in (self._now, self._step(step)):
            part.in_flight += 1
            part.in_flight_peak = max(part.in_flight_peak, part.in_flight)
        return Counted(step, prompt, self._era)

    def end(
        self,
        call: Counted,
        ending: Ending,
        *,
        prompt_tokens: int,
        completion_tokens: int,
        unusable: bool,
    ) -> None:
        """A call is over and paid; the second ending of a call changes nothing."""
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
