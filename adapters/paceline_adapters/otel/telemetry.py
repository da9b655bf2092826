"""``Telemetry`` for OpenTelemetry."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link
from paceline import Claim, CompletionRequest, Run, Span, Telemetry, Work
from paceline.contracts.storage.records import PoolFigures
from paceline.contracts.telemetry import Gauges, trace_id_of

from paceline_adapters.otel.ids import choosing, span_of
from paceline_adapters.otel.instruments import Instruments
from paceline_adapters.otel.spans import Admit, Attempt, Attributes, CurrentSpan, Submission

NAME = "paceline"


class OpenTelemetry(Telemetry):
    """Traces and metrics of one process.

    Args:
        tracers: receives the spans. It must use ``RunIds`` to generate ids.
        meters: receives the metrics.
        content: whether prompts and answers are recorded.
        close: called before the process exits, to send the rest.
    """

    def __init__(
        self,
        tracers: TracerProvider,
        meters: MeterProvider,
        *,
        content: bool = False,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._sampler = tracers.sampler
        self._tracer = tracers.get_tracer(NAME)
        self._instruments = Instruments(meters.get_meter(NAME))
        self._content = content
        self._close = close

    def watch(self, gauges: Gauges, pool: Callable[[], PoolFigures]) -> None:
        """Observe the gauges of a process."""
        self._instruments.watch(gauges, pool)

    def submit(self) -> Span:
        """The root span of a run's trace, or a span below the root if the run is resumed."""
        return Submission(self._submission)

    def _submission(self, began: int, run: Run | None, outcome: str) -> trace.Span:
        attributes: Attributes = {"paceline.submitted": outcome}
        if run is None:
            return self._tracer.start_span("submit", start_time=began, attributes=attributes)
        attributes |= {"paceline.run.id": run.run_id, "paceline.roadmap.id": run.roadmap_id}
        caller = trace.get_current_span()
        known = caller.get_span_context()
        links = [Link(known)] if known.is_valid else []
        root = span_of(run.run_id, 0, sampled=self._sampled(run.run_id))
        context = Context()
        with ExitStack() as stack:
            if outcome == "created":
                stack.enter_context(choosing(root))
            else:
                context = _below(root)
            span = self._tracer.start_span(
                "submit", context, start_time=began, attributes=attributes, links=links
            )
        if known.is_valid:
            # Link in both directions: from the caller's trace to the run's, and back.
            caller.add_link(span.get_span_context())
        return span

    def run(self, claim: Claim) -> Span:
        """A span below the submission, linked to the previous claim if there was one."""
        run_id, fence = claim.run_id, claim.fence
        sampled = self._sampled(run_id)
        earlier = [Link(span_of(run_id, fence - 1, sampled=sampled))] if fence > 1 else []

        def start() -> trace.Span:
            with choosing(span_of(run_id, fence, sampled=sampled)):
                return self._tracer.start_span(
                    "run",
                    _below(span_of(run_id, 0, sampled=sampled)),
                    kind=trace.SpanKind.CONSUMER,
                    attributes={
                        "paceline.run.id": run_id,
                        "paceline.roadmap.id": claim.roadmap_id,
                        "paceline.worker.id": claim.worker_id,
                        "paceline.claim": fence,
                    },
                    links=earlier,
                )

        return CurrentSpan(start)

    def concept(self, claim: Claim, concept_id: str) -> Span:
        """A span below its run."""
        return self._span("concept", run_id=claim.run_id, concept_id=concept_id)

    def step(self, step: str) -> Span:
        """A span below its concept."""
        return self._span(step, step=step)

    def admit(self, work: Work) -> Span:
        """A span for the wait for admission, which is also recorded in a histogram."""

        def start() -> trace.Span:
            attributes: Attributes = {
                "paceline.work.level": work.level,
                "paceline.concept.id": work.concept_id,
            }
            return self._tracer.start_span("admit", attributes=attributes)

        return Admit(start, self._instruments, work.level)

    def attempt(self, work: Work, request: CompletionRequest) -> Span:
        """A span for one call, as the GenAI conventions require."""
        return Attempt(self._tracer, self._instruments, work, request, content=self._content)

    def use(self, work: Work) -> Span:
        """A span for one use of a resource, below its step."""
        return self._span("use", resource=work.key.partition(":")[2], step=work.step or "")

    def save(self, step: str) -> Span:
        """A span that lasts until the artifact is committed."""
        return self._span("save", step=step)

    async def close(self) -> None:
        """Send the rest. An unreachable collector delays this by a few seconds at most."""
        if self._close is not None:
            await self._close()

    def _span(self, name: str, **ids: str) -> CurrentSpan:
        attributes: Attributes = {f"paceline.{key.replace('_', '.')}": ids[key] for key in ids}
        return CurrentSpan(lambda: self._tracer.start_span(name, attributes=attributes))

    def _sampled(self, run_id: str) -> bool:
        """Whether the run's trace is sampled. Every process gets the same answer."""
        result = self._sampler.should_sample(None, int(trace_id_of(run_id), 16), "submit")
        return result.decision is Decision.RECORD_AND_SAMPLE


def _below(parent: trace.SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
