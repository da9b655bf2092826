"""``Telemetry`` that speaks OpenTelemetry."""

from collections.abc import Callable
from contextlib import ExitStack

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link
from paceline import Claim, CompletionRequest, Run, Span, Telemetry, Work
from paceline.contracts.records import PoolFigures
from paceline.contracts.telemetry import Gauges, trace_id_of

from paceline_adapters.otel.ids import choosing, span_of
from paceline_adapters.otel.instruments import Instruments
from paceline_adapters.otel.spans import Admit, Attempt, Attributes, Live, Submission

NAME = "paceline"


class OpenTelemetry(Telemetry):
    """Traces and metrics of one process.

    Args:
        tracers: where spans go; its ids are those of ``RunIds``.
        meters: where metrics go.
        content: whether prompts and answers are recorded.
        shut_down: called in the end, to send what is left.
    """

    def __init__(
        self,
        tracers: TracerProvider,
        meters: MeterProvider,
        *,
        content: bool = False,
        shut_down: Callable[[], object] | None = None,
    ) -> None:
        self._sampler = tracers.sampler
        self._tracer = tracers.get_tracer(NAME)
        self._instruments = Instruments(meters.get_meter(NAME))
        self._content = content
        self._shut_down = shut_down

    def watch(self, gauges: Gauges, pool: Callable[[], PoolFigures]) -> None:
        """Observe a process's figures."""
        self._instruments.watch(gauges, pool)

    def submit(self) -> Span:
        """The root of a run's trace, or a span below it when the run is continued."""
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
            # Both ways: from the caller's trace to the run's, and back.
            caller.add_link(span.get_span_context())
        return span

    def run(self, claim: Claim) -> Span:
        """Below the submission; linked to the claim before, if there was one."""
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

        return Live(start)

    def concept(self, claim: Claim, concept_id: str) -> Span:
        """Below its run."""
        return self._span("concept", run_id=claim.run_id, concept_id=concept_id)

    def step(self, step: str) -> Span:
        """Below its concept."""
        return self._span(step, step=step)

    def admit(self, work: Work) -> Span:
        """How long work waits: a span, and a histogram."""

        def start() -> trace.Span:
            attributes: Attributes = {
                "paceline.work.level": work.level,
                "paceline.concept.id": work.concept_id,
            }
            return self._tracer.start_span("admit", attributes=attributes)

        return Admit(start, self._instruments, work.level)

    def attempt(self, work: Work, request: CompletionRequest) -> Span:
        """One call, by the conventions."""
        return Attempt(self._tracer, self._instruments, work, request, content=self._content)

    def save(self, step: str) -> Span:
        """Until it is committed."""
        return self._span("save", step=step)

    async def close(self) -> None:
        """Send what is left; a collector that is away is not waited for long."""
        if self._shut_down is not None:
            from paceline_adapters.otel.exporting import finish

            await finish(self._shut_down)

    def _span(self, name: str, **ids: str) -> Live:
        attributes: Attributes = {f"paceline.{key.replace('_', '.')}": ids[key] for key in ids}
        return Live(lambda: self._tracer.start_span(name, attributes=attributes))

    def _sampled(self, run_id: str) -> bool:
        """What the sampler says of the run's trace: the same in each process."""
        asked = self._sampler.should_sample(None, int(trace_id_of(run_id), 16), "submit")
        return asked.decision is Decision.RECORD_AND_SAMPLE


def _below(parent: trace.SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
