"""Our spans, implemented with OpenTelemetry."""

import json
import time
from collections.abc import Callable, Mapping
from contextvars import Token

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode
from opentelemetry.util.types import AttributeValue
from paceline import Completion, CompletionRequest, ProviderError, Run, Span, Work
from paceline.contracts.storage.records import RunStatus

from paceline_adapters.otel.instruments import Instruments

Attributes = dict[str, AttributeValue]
#: Starts an OpenTelemetry span.
Start = Callable[[], trace.Span]


class CurrentSpan(Span):
    """A span that is current in its task until it ends.

    Of an error, only the type is recorded, because its text may contain a model's answer.
    """

    __slots__ = ("_began", "_start", "_token", "span")

    def __init__(self, start: Start) -> None:
        self._start = start
        self._began = 0.0

    def __enter__(self) -> "CurrentSpan":
        """Start the span and make it current."""
        self.span = self._start()
        self._token: Token[Context] = otel_context.attach(trace.set_span_in_context(self.span))
        self._began = time.perf_counter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object, /) -> None:
        """End the span."""
        otel_context.detach(self._token)
        if error is not None:
            self._raised(error)
        self.record(time.perf_counter() - self._began, error)
        self.span.end()

    def _raised(self, error: BaseException) -> None:
        self.span.set_attribute("error.type", type(error).__name__)
        if isinstance(error, Exception):  # a cancellation is not an error
            self.span.set_status(StatusCode.ERROR)

    def record(self, seconds: float, error: BaseException | None) -> None:
        """Record the duration, in subclasses that have a metric for it."""

    def failed(self) -> None:
        """Mark the span as failed."""
        self.span.set_status(StatusCode.ERROR)

    def ended(self, status: RunStatus) -> None:
        """Record the final status of the run."""
        self.span.set_attribute("paceline.run.status", status)
        if status == "failed":
            self.span.set_status(StatusCode.ERROR)


class Admit(CurrentSpan):
    """A wait for admission."""

    __slots__ = ("_instruments", "_level")

    def __init__(self, start: Start, instruments: Instruments, level: str) -> None:
        super().__init__(start)
        self._instruments, self._level = instruments, level

    def record(self, seconds: float, error: BaseException | None) -> None:
        """Record the wait, unless it ended without admission."""
        if error is None:
            self._instruments.wait.record(seconds, {"paceline.work.level": self._level})


class Attempt(CurrentSpan):
    """One attempt, as the GenAI conventions describe it.

    Args:
        content: whether prompts and answers are recorded.
    """

    __slots__ = ("_content", "_instruments", "_known")

    def __init__(
        self,
        tracer: trace.Tracer,
        instruments: Instruments,
        work: Work,
        request: CompletionRequest,
        *,
        content: bool,
    ) -> None:
        provider, _, model = work.key.partition(":")
        self._instruments, self._content = instruments, content
        self._known: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        attributes: Attributes = {
            **self._known,
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.output.type": "text" if request.schema is None else "json",
            "paceline.attempt": work.attempt,
        }
        if content:
            messages = [_message(one.role, one.content) for one in request.messages]
            attributes["gen_ai.input.messages"] = json.dumps(messages, ensure_ascii=False)
        super().__init__(
            lambda: tracer.start_span(
                f"chat {model}", kind=trace.SpanKind.CLIENT, attributes=attributes
            )
        )

    def answered(self, completion: Completion) -> None:
        """Record the model that answered, and the tokens used."""
        self._known["gen_ai.response.model"] = completion.model
        self.span.set_attribute("gen_ai.response.model", completion.model)
        if completion.request_id:
            self.span.set_attribute("paceline.response.request_id", completion.request_id)
        self._used(completion.prompt_tokens, completion.completion_tokens)
        if self._content:
            answer = json.dumps([_message("assistant", completion.text)], ensure_ascii=False)
            self.span.set_attribute("gen_ai.output.messages", answer)

    def charged(self, error: ProviderError) -> None:
        """Record the tokens of a failed attempt."""
        if error.prompt_tokens or error.completion_tokens:
            self._used(error.prompt_tokens, error.completion_tokens)

    def _used(self, prompt_tokens: int, completion_tokens: int) -> None:
        for kind, tokens in {"input": prompt_tokens, "output": completion_tokens}.items():
            self.span.set_attribute(f"gen_ai.usage.{kind}_tokens", tokens)
            self._instruments.tokens.record(tokens, {**self._known, "gen_ai.token.type": kind})

    def record(self, seconds: float, error: BaseException | None) -> None:
        """Record how long the attempt was in flight."""
        if error is not None:
            self._known["error.type"] = type(error).__name__
        self._instruments.duration.record(seconds, self._known)


def _message(role: str, text: str) -> Mapping[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


class Submission(Span):
    """A submission. Its trace id depends on the run, so the span is created at the end.

    Args:
        make: creates the span. It gets the start time in nanoseconds, the run if there is
            one, and the outcome.
    """

    __slots__ = ("_began", "_make", "_run")

    def __init__(self, make: Callable[[int, Run | None, str], trace.Span]) -> None:
        self._make = make
        self._run: tuple[Run | None, str] = (None, "failed")

    def __enter__(self) -> "Submission":
        """Note the start time."""
        self._began = time.time_ns()
        return self

    def submitted(self, run: Run, outcome: str) -> None:
        """Note the run and the outcome."""
        self._run = (run, outcome)

    def __exit__(self, kind: object, error: BaseException | None, trace: object, /) -> None:
        """Create the span."""
        span = self._make(self._began, *self._run)
        if error is not None:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
        span.end()
