"""The public names of ``paceline``, which plugins and embedding programs import."""

import ast
from pathlib import Path

import paceline
import pytest
from paceline import errors
from paceline.contracts.admission import work

PUBLIC = [
    "AccountExhausted",
    "App",
    "Artifact",
    "BudgetError",
    "Card",
    "Check",
    "Checked",
    "Claim",
    "Client",
    "Completion",
    "CompletionRequest",
    "Concept",
    "ConceptState",
    "Context",
    "ContextError",
    "DatabaseNotFound",
    "Delivery",
    "Done",
    "Event",
    "EventBus",
    "Executor",
    "ExportedArtifact",
    "ExportedConcept",
    "ExportedRun",
    "Exporter",
    "Failed",
    "Fatal",
    "FileExporter",
    "Finding",
    "FolderExporter",
    "Forecast",
    "Grant",
    "KeyReused",
    "Lease",
    "LeaseRelease",
    "LeaseRequest",
    "Ledger",
    "Level",
    "Message",
    "ModelSettings",
    "Module",
    "NoOptions",
    "Options",
    "Outcome",
    "PacelineError",
    "PartRejected",
    "PartUnavailable",
    "Permit",
    "PlannedCall",
    "PlannedRoadmap",
    "PluginError",
    "Provider",
    "ProviderError",
    "ProviderSettings",
    "ProviderUnusable",
    "Question",
    "Quota",
    "RateLimitInfo",
    "RateLimited",
    "RedisSettings",
    "Refused",
    "Register",
    "RegisterCommand",
    "Replaced",
    "RequestTooLong",
    "Revision",
    "Roadmap",
    "RoadmapError",
    "Run",
    "RunConflict",
    "RunNotFound",
    "RunPaused",
    "RunWorker",
    "SchemaVersionError",
    "Settings",
    "SettingsError",
    "Share",
    "Sink",
    "SinkUnavailable",
    "Span",
    "Stage",
    "StaleFence",
    "Step",
    "StepContext",
    "StepSettings",
    "Store",
    "StoreSettings",
    "Strategy",
    "Subject",
    "Telemetry",
    "Tool",
    "ToolCall",
    "TransactionalSink",
    "Transient",
    "Unreachable",
    "UnusableAnswer",
    "UsageError",
    "Use",
    "WebSettings",
    "Work",
    "Worker",
    "WorkerLoad",
    "hookimpl",
    "load_roadmap",
    "parse_roadmap",
    "run_stoppable",
]

#: A file that uses each public name; mypy checks it and nothing runs it.
TYPED = Path(__file__).parents[1] / "typing" / "api.py"


def test_the_public_names_are_pinned() -> None:
    assert sorted(paceline.__all__) == PUBLIC
    assert all(hasattr(paceline, name) for name in PUBLIC)


def test_each_public_name_is_used_in_a_file_that_is_type_checked() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(TYPED.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "paceline"
    }
    assert sorted(used) == PUBLIC


def test_each_error_that_a_provider_may_raise_is_public() -> None:
    raised = [
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.ProviderError)
    ]
    assert len(raised) == 9
    assert all(getattr(paceline, name) is getattr(errors, name) for name in raised)


def test_refused_is_the_error_of_a_provider_and_no_outcome() -> None:
    with pytest.raises(paceline.ProviderError) as caught:
        raise paceline.Refused(retry_after=2)
    assert isinstance(caught.value, paceline.Refused)
    assert caught.value.retry_after == 2
    assert str(caught.value)


def test_no_outcome_shares_a_name_with_an_error() -> None:
    outcomes = {outcome.__name__ for outcome in (work.Done, work.RateLimited, work.Failed)}
    assert outcomes <= set(PUBLIC)
    assert not outcomes & set(vars(errors))
