"""Decides about each call: admitted or rejected, its latency, answer and fault.

Time is an argument and this module does not know HTTP, so decisions can be replayed.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

from paceline_adapters.simulator import faults, latency
from paceline_adapters.simulator.answer import compose, requested_schema
from paceline_adapters.simulator.figures import CountedCall, Counters, Ending
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

#: Retry-after in seconds at speed 1, if the quota window gives no better value.
_RETRY_AFTER = 1.0


@dataclass(slots=True)
class Identity:
    """What a request is for, known before its admission.

    Attributes:
        prompt: hash of the model and all messages.
        first_turn: hash of the messages up to the first user message; repairs share it.
    """

    step: str
    prompt: str
    first_turn: str
    roadmap: str | None
    concept: str | None


@dataclass(slots=True)
class Call:
    """An admitted call.

    Attributes:
        seconds: latency from its arrival.
        tokens: tokens charged at admission.
        in_flight: number of calls in flight, this one included.
    """

    request: ChatRequest
    answer: Answer
    seconds: float
    tokens: int
    fault: str | None
    counted: CountedCall
    in_flight: int


class Engine:
    """The provider without its web server."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.counters = Counters()
        self.quota = Quota(
            requests=options.rpm,
            tokens=options.tpm,
            concurrency=options.max_concurrency,
            window=options.quota_window,
            concurrency_retry=_RETRY_AFTER / options.speed,
        )
        self._attempts: Counter[str] = Counter()

    def reset(self, *, quota: bool = False) -> None:
        """Reset the figures, the numbers of attempts and, if ``quota``, the used quota."""
        self.counters.reset()
        self._attempts.clear()
        if quota:
            self.quota.reset()

    def identify(self, request: ChatRequest) -> Identity:
        """Identify a request.

        Raises:
            ApiError: the model is unknown, or does not support the response format.
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
        prompt, first_turn = map(_hash, request.identity())
        roadmap, concept = ids_of(request.prompt())
        return Identity(self._step(request), prompt, first_turn, roadmap, concept)

    def admit(self, request: ChatRequest, identity: Identity, now: float) -> Call:
        """Admit a call at the time ``now``, in seconds of a monotonic clock.

        Raises:
            ApiError: a limit or a fault rejects the call.
        """
        schema = requested_schema(request)
        self.counters.count_request(identity.step)
        cost = estimate_tokens(request.prompt())
        cost += request.answer_limit or self.options.default_max_tokens
        refusal = self.quota.admit(now, tokens=cost, in_flight=self.counters.in_flight)
        if refusal is not None:
            self.counters.count_refusal()
            raise _refused(refusal)
        self.counters.count_admission(self.quota.window)
        # Counted after admission, because rejections depend on the order of arrival.
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
        counted = self.counters.begin(identity.step, identity.prompt)
        if self.options.knee is not None:
            seconds *= max(1.0, self.counters.in_flight / self.options.knee)
        return Call(
            request,
            answer,
            seconds / self.options.speed,
            cost,
            fault,
            counted,
            self.counters.in_flight,
        )

    def end(self, call: Call, ending: Ending) -> None:
        """Count the end of a call; only its first ending counts."""
        self.counters.end(
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
        """Draw the fault; immediate errors are raised."""
        first = self.options.fault_first
        # The prefix separates the counts of first turns from those of whole prompts.
        if first is not None and self._count(f"first turn {identity.first_turn}") >= first:
            return None
        fault = faults.pick(
            self.options.faults, seed=self.options.seed, prompt=identity.prompt, attempt=attempt
        )
        if fault is None:
            return None
        self.counters.count_fault(fault)
        match fault:
            case "429":
                self.counters.count_refusal()
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
