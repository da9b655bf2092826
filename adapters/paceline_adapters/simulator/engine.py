"""Decides about each call: let in or refused, how long, with which answer and fault.

Time is an argument and nothing here knows HTTP, so that a decision can be replayed.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

from paceline_adapters.simulator import faults, latency
from paceline_adapters.simulator.answer import compose, wanted_schema
from paceline_adapters.simulator.figures import Counted, Ending, Tally
from paceline_adapters.simulator.latency import DEFAULT_STEP
from paceline_adapters.simulator.options import SimulatorOptions
from paceline_adapters.simulator.prose import ids_of
from paceline_adapters.simulator.quota import Quota, Refusal, retry_headers
from paceline_adapters.simulator.wire import (
    Answer,
    ApiError,
    ChatRequest,
    estimate_tokens,
    unknown_model,
)

#: Seconds a client is told to wait, at speed 1, where no window says better.
_RETRY_AFTER = 1.0


@dataclass(slots=True)
class Identity:
    """What is being asked, known before it is let in.

    Attributes:
        step: whose latency it takes.
        prompt: hash of the model and all messages.
        opening: hash of those up to the user's first; repairs share it.
        roadmap: id of the roadmap that the prompt names, where it names one.
        concept: id of its concept.
    """

    step: str
    prompt: str
    opening: str
    roadmap: str | None
    concept: str | None


@dataclass(slots=True)
class Call:
    """A call that was let in.

    Attributes:
        request: what was asked.
        answer: what it will be told.
        seconds: when, from its arrival.
        tokens: what it was charged at admission.
        fault: what goes wrong, if anything does.
        counted: its place in the figures.
        in_flight: calls in flight with it.
    """

    request: ChatRequest
    answer: Answer
    seconds: float
    tokens: int
    fault: str | None
    counted: Counted
    in_flight: int


class Engine:
    """The provider without its web server."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.tally = Tally()
        self.quota = Quota(
            requests=options.rpm,
            tokens=options.tpm,
            concurrency=options.max_concurrency,
            window=options.quota_window,
            idle_retry=_RETRY_AFTER / options.speed,
        )
        self._attempts: Counter[str] = Counter()

    def reset(self, *, quota: bool = False) -> None:
        """Begin again: figures, and the attempts that latencies and faults are drawn for.

        Args:
            quota: whether to forget what was used of it too, which no provider would.
        """
        self.tally.reset()
        self._attempts.clear()
        if quota:
            self.quota.forget()

    def identify(self, request: ChatRequest) -> Identity:
        """Who asks what.

        Raises:
            ApiError: the model is unknown, or cannot do what is asked of it.
        """
        if request.model not in self.options.models:
            raise unknown_model(request.model)
        if request.format == "json_schema" and not self.options.schema_support:
            raise ApiError(
                400,
                "Invalid parameter: unsupported 'response_format' of type 'json_schema' "
                "with this model.",
                param="response_format",
            )
        prompt, opening = map(_hash, request.identity())
        roadmap, concept = ids_of(request.prompt())
        return Identity(self._step(request), prompt, opening, roadmap, concept)

    def admit(self, request: ChatRequest, identity: Identity, now: float) -> Call:
        """Let a call in.

        Args:
            request: what is asked.
            identity: who asks it.
            now: seconds of any clock that only rises.

        Raises:
            ApiError: a limit or a fault refuses it.
        """
        schema = wanted_schema(request)
        self.tally.asked(identity.step)
        cost = estimate_tokens(request.prompt())
        cost += request.most_tokens or self.options.default_max_tokens
        refusal = self.quota.admit(now, tokens=cost, in_flight=self.tally.in_flight)
        if refusal is not None:
            self.tally.refused()
            raise _refused(refusal)
        self.tally.admitted(self.quota.window)
        # Counted only now: how often limits refused it depends on the order of arrival.
        attempt = self._count(identity.prompt)
        fault = self._fault(identity, attempt)
        answer = compose(
            request,
            schema,
            seed=self.options.seed,
            prompt=identity.prompt,
            attempt=attempt,
            fault=fault,
        )
        seconds = latency.draw(
            self.options.latency,
            seed=self.options.seed,
            step=identity.step,
            prompt=identity.prompt,
            attempt=attempt,
        )
        counted = self.tally.begin(identity.step, identity.prompt)
        return Call(
            request,
            answer,
            seconds / self.options.speed,
            cost,
            fault,
            counted,
            self.tally.in_flight,
        )

    def end(self, call: Call, ending: Ending) -> None:
        """A call is over; only its first ending counts."""
        self.tally.end(
            call.counted,
            ending,
            prompt_tokens=call.answer.prompt_tokens,
            completion_tokens=call.answer.completion_tokens,
            unusable=call.answer.unusable,
        )

    def _step(self, request: ChatRequest) -> str:
        for name in ((request.metadata or {}).get("paceline_step"), request.schema_name):
            if name in self.options.latency:
                return name
        return DEFAULT_STEP

    def _count(self, key: str) -> int:
        self._attempts[key] += 1
        return self._attempts[key] - 1

    def _fault(self, identity: Identity, attempt: int) -> str | None:
        """Draw the fault; one that answers at once with an error is raised."""
        first = self.options.fault_first
        # The marker keeps the openings apart from the prompts, which mostly are the same.
        if first is not None and self._count(f"opening {identity.opening}") >= first:
            return None
        fault = faults.pick(
            self.options.faults, seed=self.options.seed, prompt=identity.prompt, attempt=attempt
        )
        if fault is None:
            return None
        self.tally.hit(fault)
        match fault:
            case "429":
                self.tally.refused()
                raise _refused(
                    Refusal(
                        "requests",
                        "Rate limit reached. Please try again later.",
                        _RETRY_AFTER / self.options.speed,
                    )
                )
            case "500":
                raise ApiError(
                    500,
                    "The server had an error while processing your request. Sorry about that!",
                    kind="server_error",
                )
            case "503":
                raise ApiError(
                    503,
                    "The engine is currently overloaded, please try again later.",
                    kind="server_error",
                )
            case _:
                return fault


def _refused(refusal: Refusal) -> ApiError:
    return ApiError(
        429,
        refusal.message,
        kind=refusal.limit,
        code="rate_limit_exceeded",
        headers=retry_headers(refusal.retry_after),
    )


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
