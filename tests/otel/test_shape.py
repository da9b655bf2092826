"""Spans and metrics of a run, with the real pipeline in virtual time and the real SDK."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import StatusCode
from paceline.contracts.identity import new_run_id
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.storage.records import Claim
from paceline.contracts.telemetry import trace_id_of
from paceline.errors import Fatal, Refused, UnusableAnswer
from paceline.settings.model import ProviderSettings, Settings
from paceline.testing.scripted import Reply, ScriptedProvider, plain_answer
from paceline.testing.virtual_time import run_virtual, virtual_time
from paceline_adapters.otel.ids import RunIds
from paceline_adapters.otel.telemetry import OpenTelemetry

from tests.support.memory_worker import Rig, a_roadmap, rig


@dataclass(frozen=True, slots=True)
class Observed:
    """A worker and its telemetry.

    Attributes:
        it: the worker.
        exporter: holds its spans.
        reader: holds its metrics.
        tracers: lets a caller create its own spans.
    """

    it: Rig
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracers: TracerProvider

    def spans(self, name: str) -> list[ReadableSpan]:
        """Ended spans with this name."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def metrics(self) -> dict[str, float]:
        """Every metric by name: its value, or its number of recordings, summed over attributes."""
        found: dict[str, float] = {}
        data = self.reader.get_metrics_data()
        assert data is not None
        for scope in data.resource_metrics[0].scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = sum(
                    point.count if isinstance(point, HistogramDataPoint) else point.value
                    for point in metric.data.data_points
                    if not hasattr(point, "scale")
                )
        return found


@asynccontextmanager
async def observed(
    script: Callable[[CompletionRequest, int], Reply] | None = None,
    *,
    settings: Settings | None = None,
    content: bool = False,
) -> AsyncGenerator[Observed]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(id_generator=RunIds(), shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader], shutdown_on_exit=False)
    telemetry = OpenTelemetry(tracers, meters, content=content)
    provider = ScriptedProvider(script) if script else ScriptedProvider()
    async with rig(provider, settings=settings) as it:
        it.worker.parts = replace(it.worker.parts, telemetry=telemetry)
        telemetry.watch(it.worker.parts.gauges, it.store.pool)
        it.client.telemetry = telemetry
        yield Observed(it, exporter, reader, tracers)


def attribute(span: ReadableSpan, key: str) -> object:
    return (span.attributes or {}).get(key)


def parent(span: ReadableSpan) -> int:
    """The span id of the parent."""
    assert span.parent is not None
    return span.parent.span_id


def context(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


@virtual_time
async def test_a_refused_attempt_has_a_span_with_its_error_and_is_counted() -> None:
    def script(request: CompletionRequest, number: int) -> Reply:
        if number == 1:
            return 0.0, Refused("no", retry_after=1)
        return 1.0, plain_answer(request.step)

    async with observed(script) as it:
        await it.it.generate(a_roadmap(1))
        it.it.worker.parts.gauges.fallbacks += 2
        attempts = [
            span
            for span in it.exporter.get_finished_spans()
            if attribute(span, "gen_ai.operation.name") == "chat"
        ]
        errors = [attribute(span, "error.type") for span in attempts]
        assert errors == ["Refused", None, None, None]
        assert attempts[0].status.status_code is StatusCode.ERROR
        figures = it.metrics()
        assert figures["paceline.refusals"] == 1
        assert figures["paceline.fallbacks"] == 2
        assert figures["gen_ai.client.operation.duration"] == 4
        assert figures["gen_ai.client.token.usage"] == 3 * 2
        assert figures["paceline.artifacts.saved"] == 3


@virtual_time
async def test_attempts_with_an_unusable_answer_count_their_tokens() -> None:
    def script(request: CompletionRequest, number: int) -> Reply:
        if number == 1:
            return 1.0, UnusableAnswer("empty", "").charge(70, 7, estimated=False)
        return 1.0, plain_answer(request.step)

    async with observed(script) as it:
        run = await it.it.generate(a_roadmap(1))
        counted = sum(
            int(str(attribute(span, f"gen_ai.usage.{kind}_tokens") or 0))
            for span in it.exporter.get_finished_spans()
            for kind in ("input", "output")
        )
        assert counted == (await it.it.store.spending(run.run_id)).total.tokens == 77 + 3 * 150


@virtual_time
async def test_each_wait_for_admission_has_a_span_and_is_counted_while_it_lasts() -> None:
    settings = Settings(strategy=["global"], strategies={"global": {"concurrency": 2}})
    async with observed(settings=settings) as it:
        working = asyncio.create_task(it.it.generate(a_roadmap(5)))
        await asyncio.sleep(0.5)
        amid = it.metrics()
        assert (amid["paceline.calls.active"], amid["paceline.admission.waiting"]) == (2, 3)
        assert (amid["paceline.runs.active"], amid["paceline.concepts.active"]) == (1, 5)
        await working
        after = it.metrics()
        assert after["paceline.admission.waiting"] == after["paceline.calls.active"] == 0
        waits = [attribute(span, "paceline.work.level") for span in it.spans("admit")]
        assert (waits.count("concept"), waits.count("call")) == (5, 15)
        assert after["paceline.admission.wait"] == 20


@virtual_time
async def test_a_resumed_run_continues_its_trace_and_links_to_the_previous_claim() -> None:
    def script(request: CompletionRequest, number: int) -> Reply:
        return (0.0, Fatal("no")) if number == 1 else (1.0, plain_answer(request.step))

    async with observed(script) as it:
        run = await it.it.generate(a_roadmap(2))
        assert run.status == "partial"
        await it.it.generate(a_roadmap(2))
        first, again = it.spans("run")
        assert [link.context.span_id for link in again.links] == [context(first).span_id]
        created, resumed = it.spans("submit")
        assert attribute(resumed, "paceline.submitted") == "resumed"
        assert created.parent is None
        assert {parent(span) for span in (first, again, resumed)} == {context(created).span_id}
        traces = {context(span).trace_id for span in it.exporter.get_finished_spans()}
        assert traces == {int(trace_id_of(run.run_id), 16)}
        (failed,) = [
            span for span in it.spans("concept") if span.status.status_code is StatusCode.ERROR
        ]
        assert attribute(failed, "paceline.concept.id") == "c0"


@virtual_time
async def test_concurrent_concepts_have_separate_spans() -> None:
    async with observed() as it:
        await asyncio.gather(*(it.it.generate(a_roadmap(6, name)) for name in ("a", "b")))
        concepts = {context(span).span_id: span for span in it.spans("concept")}
        for step in ("tutorial", "resources", "quiz"):
            spans = it.spans(step)
            assert {parent(span) for span in spans} == set(concepts)
            for span in spans:
                assert context(span).trace_id == context(concepts[parent(span)]).trace_id
        for run in it.spans("run"):
            children = [span for span in concepts.values() if parent(span) == context(run).span_id]
            assert len(children) == 6


@virtual_time
async def test_a_callers_trace_and_the_runs_link_to_each_other() -> None:
    async with observed() as it:
        with it.tracers.get_tracer("theirs").start_as_current_span("request") as request:
            run, _ = await it.it.client.submit(a_roadmap(1))
        (submitted,) = it.spans("submit")
        (theirs,) = it.spans("request")
        assert [link.context for link in submitted.links] == [request.get_span_context()]
        assert [link.context for link in theirs.links] == [context(submitted)]
        assert context(submitted).trace_id == int(trace_id_of(run.run_id), 16)


def test_errors_and_answers_are_recorded_only_if_content_is_enabled() -> None:
    def script(request: CompletionRequest, number: int) -> Reply:
        return 1.0, '{"whisper": "a secret of the model"}'

    async def exported(*, content: bool) -> str:
        async with observed(script, content=content) as it:
            await it.it.generate(a_roadmap(1))
            return json.dumps([span.to_json() for span in it.exporter.get_finished_spans()])

    assert "whisper" not in run_virtual(exported(content=False))
    assert "whisper" in run_virtual(exported(content=True))


def test_every_process_makes_the_same_sampling_decision() -> None:
    ratio: Sampler = ParentBased(TraceIdRatioBased(0.5))
    kept = 0
    for _ in range(100):
        run_id = new_run_id()
        recorded: list[bool] = []
        for _process in range(2):
            tracers = TracerProvider(ratio, id_generator=RunIds(), shutdown_on_exit=False)
            telemetry = OpenTelemetry(tracers, NoOpMeterProvider())
            claim = Claim(run_id=run_id, roadmap_id="r", worker_id="w", fence=1)
            with telemetry.run(claim):
                recorded.append(trace.get_current_span().is_recording())
        assert len(set(recorded)) == 1
        kept += recorded[0]
    assert 20 < kept < 80


def test_a_trace_id_is_the_bits_of_the_run_id_and_never_zero() -> None:
    assert trace_id_of("7" + "z" * 25) == "f" * 32
    assert trace_id_of("00000000000000000000000010") == f"{32:032x}"
    strange = [trace_id_of(name) for name in ("0" * 26, "mine", "z" * 26, "")]
    assert len(set(strange)) == 4
    assert all(len(one) == 32 and int(one, 16) for one in strange)


@virtual_time
async def test_failed_calls_leave_nothing_in_flight() -> None:
    settings = Settings(strategy=["unbounded"], provider=ProviderSettings(attempts=1))

    async with observed(lambda request, number: (0.0, Fatal("no")), settings=settings) as it:
        await it.it.generate(a_roadmap(3))
        figures = it.metrics()
        assert {
            figures[f"paceline.{what}"]
            for what in ("runs.active", "concepts.active", "calls.active", "admission.waiting")
        } == {0}
