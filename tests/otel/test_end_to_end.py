"""One trace from submit to attempt, with each executor, real processes and real HTTP."""

import re
import time
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from paceline.contracts.telemetry import trace_id_of

from tests.support.cli_processes import Home
from tests.support.otlp_collector import Collector, attributes_of

STEPS = ("tutorial", "resources", "quiz")


@pytest.fixture
def observed(home: Home, collector: Collector) -> Home:
    """A home with processes that send to the collector."""
    home.environment["PACELINE_OTEL__ENDPOINT"] = collector.address
    return home


def ancestry(span: Span, spans: list[Span]) -> list[str]:
    """Names of the spans from this one up to the root."""
    by_id = {one.span_id: one for one in spans}
    names = [span.name]
    while span.parent_span_id:
        span = by_id[span.parent_span_id]
        names.append(span.name)
    return names


def check_one_trace(collector: Collector, run_id: str) -> None:
    attempts = collector.named("chat gpt-4o-mini")
    assert len(attempts) == 4 * 3
    assert {span.trace_id.hex() for span in collector.spans} == {trace_id_of(run_id)}
    assert sorted(tuple(ancestry(span, collector.spans)) for span in attempts) == sorted(
        [("chat gpt-4o-mini", step, "concept", "run", "submit") for step in STEPS] * 4
    )
    assert len(collector.named("save")) == 4 * 3
    for span in attempts:
        attributes = attributes_of(span.attributes)
        assert attributes["gen_ai.provider.name"] == "openai"
        assert attributes["gen_ai.response.model"] == "gpt-4o-mini"
        assert attributes["gen_ai.usage.output_tokens"]
    assert collector.services == {"paceline"}
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= collector.metrics


def test_a_run_in_this_process_is_one_trace(
    observed: Home, collector: Collector, roadmap: str
) -> None:
    report = observed.json("run", roadmap)
    check_one_trace(collector, report["runs"][0]["run_id"])


@pytest.mark.soak
def test_traces_and_metrics_can_be_switched_off_separately(
    observed: Home, collector: Collector, roadmap: str
) -> None:
    observed.environment["OTEL_METRICS_EXPORTER"] = "none"
    observed.run("run", roadmap)
    assert collector.spans
    assert not collector.metrics
    del observed.environment["OTEL_METRICS_EXPORTER"]
    observed.environment["OTEL_TRACES_EXPORTER"] = "none"
    sent = len(collector.spans)
    observed.run("run", roadmap, "--new")
    assert collector.metrics
    assert len(collector.spans) == sent


def test_the_documentation_lists_all_metrics_and_attributes(
    observed: Home, collector: Collector, roadmap: str
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "observe.md").read_text()
    table = page.partition("### Metrics")[2].partition("## ")[0]
    observed.environment["PACELINE_SINKS__FILES__URL"] = str(observed.folder / "content")
    observed.run("run", roadmap)
    assert collector.metrics == set(re.findall(r"^\| `([a-z_.]+)`", table, re.MULTILINE))
    attributes = {key for span in collector.spans for key in attributes_of(span.attributes)}
    unnamed = [key for key in attributes if f".{key.partition('.')[2]}" not in page]
    assert unnamed == []


@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(("arq",), id="arq", marks=pytest.mark.soak),
        pytest.param(("celery",), id="celery-prefork"),
        pytest.param(
            ("celery", "--set", "executors.celery.pool=threads"),
            id="celery-threads",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_the_trace_continues_in_a_worker_process(
    observed: Home,
    collector: Collector,
    roadmap: str,
    executor: tuple[str, ...],
    postgres_url: str,
    redis_url: str,
) -> None:
    observed.environment |= {
        "PACELINE_STORE__URL": postgres_url,
        "PACELINE_REDIS__URL": redis_url,
        "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "2",
    }
    observed.run("db", "upgrade")
    report = observed.json("run", roadmap, "--executor", *executor, "--workers", "1")
    check_one_trace(collector, report["runs"][0]["run_id"])


@pytest.mark.soak
def test_opentelemetrys_own_variable_switches_telemetry_on(
    home: Home, collector: Collector, roadmap: str
) -> None:
    home.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.address
    home.run("run", roadmap)
    assert len(collector.named("run")) == 1


def test_prompts_and_answers_are_sent_only_if_content_is_enabled(
    observed: Home, collector: Collector, roadmap: str
) -> None:
    observed.run("run", roadmap)
    assert collector.spans
    sent = b"".join(collector.bodies)
    assert b"messages" not in sent
    assert b"sk-very-secret-key" not in sent
    collector.bodies.clear()
    observed.run("run", roadmap, "--new", "--set", "otel.content=true")
    sent = b"".join(collector.bodies)
    assert b"gen_ai.input.messages" in sent
    assert b"gen_ai.output.messages" in sent
    assert b"sk-very-secret-key" not in sent


@pytest.mark.soak
def test_an_unreachable_collector_does_not_affect_the_run(home: Home, roadmap: str) -> None:
    home.environment["PACELINE_OTEL__ENDPOINT"] = "http://127.0.0.1:9"
    report = home.json("run", roadmap)
    assert report["runs"][0]["status"] == "completed"


@pytest.mark.soak
def test_an_unreachable_collector_delays_the_end_by_a_second_at_most(
    home: Home, roadmap: str
) -> None:
    def seconds(**environment: str) -> float:
        home.environment |= environment
        began = time.monotonic()
        done = home.run("run", roadmap, "--new")
        took = time.monotonic() - began
        assert done.stderr.count("warning") == ("OTEL_EXPORTER_OTLP_ENDPOINT" in home.environment)
        return took

    without = min(seconds() for _ in range(2))
    assert seconds(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") < without + 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:hunter22@127.0.0.1:9/v1/traces"),
        pytest.param(
            "OTEL_EXPORTER_OTLP_HEADERS", "Authorization Bearer hunter22", marks=pytest.mark.soak
        ),
        pytest.param("OTEL_BSP_MAX_QUEUE_SIZE", "-1", marks=pytest.mark.soak),
        pytest.param("OTEL_PYTHON_CONTEXT", "none-such", marks=pytest.mark.soak),
        pytest.param("OTEL_PYTHON_METER_PROVIDER", "none-such", marks=pytest.mark.soak),
    ],
)
def test_a_variable_of_opentelemetry_stops_no_command(
    observed: Home, name: str, value: str
) -> None:
    observed.run("db", "upgrade")
    observed.environment[name] = value
    done = observed.run("status")
    assert "warning: " in done.stderr
    assert "hunter22" not in done.stderr


def test_opentelemetrys_own_switch_turns_telemetry_off(
    observed: Home, collector: Collector, roadmap: str
) -> None:
    observed.environment["OTEL_SDK_DISABLED"] = "true"
    assert observed.run("run", roadmap).stderr == ""
    assert not collector.bodies


def test_opentelemetry_is_not_imported_if_telemetry_is_off(home: Home, roadmap: str) -> None:
    home.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    imports = home.run("run", roadmap).stderr
    assert "paceline.contracts.telemetry" in imports
    assert "opentelemetry" not in imports
    assert "structlog" not in imports
