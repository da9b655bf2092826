"""Generate content for roadmaps with LLMs, with interchangeable strategies and executors.

This module is the public API, for plugins and for programs that embed paceline. Importing it
imports nothing else: each name is imported when it is used first.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paceline.app import App
    from paceline.client.client import Client
    from paceline.contracts.admission.ledger import (
        Grant,
        Lease,
        LeaseRelease,
        LeaseRequest,
        Ledger,
        Quota,
    )
    from paceline.contracts.admission.planned_call import PlannedCall, PlannedRoadmap
    from paceline.contracts.admission.strategy import Strategy
    from paceline.contracts.admission.work import (
        Done,
        Failed,
        Level,
        Outcome,
        Permit,
        RateLimited,
        RateLimitInfo,
        Work,
    )
    from paceline.contracts.events import Event, EventBus
    from paceline.contracts.executor import Executor, WorkerLoad
    from paceline.contracts.exporter import (
        ExportedArtifact,
        ExportedConcept,
        ExportedRun,
        Exporter,
        FileExporter,
        FolderExporter,
    )
    from paceline.contracts.finding import Finding
    from paceline.contracts.options import NoOptions, Options
    from paceline.contracts.provider import (
        Completion,
        CompletionRequest,
        Message,
        Provider,
        Tool,
        ToolCall,
    )
    from paceline.contracts.share import Share
    from paceline.contracts.sink import Delivery, Sink, TransactionalSink
    from paceline.contracts.steps.check import Check, Checked
    from paceline.contracts.steps.questions import Card, Question
    from paceline.contracts.steps.step import Step, StepContext, Subject, Use
    from paceline.contracts.storage.records import Artifact, Claim, ConceptState, Replaced, Run
    from paceline.contracts.storage.store import Store
    from paceline.contracts.storage.versions import Revision
    from paceline.contracts.telemetry import Span, Telemetry
    from paceline.contracts.worker import RunWorker
    from paceline.errors import (
        AccountExhausted,
        BudgetError,
        ContextError,
        DatabaseNotFound,
        Fatal,
        KeyReused,
        PacelineError,
        PartRejected,
        PartUnavailable,
        PluginError,
        ProviderError,
        ProviderUnusable,
        Refused,
        RequestTooLong,
        RoadmapError,
        RunConflict,
        RunNotFound,
        RunPaused,
        SchemaVersionError,
        SettingsError,
        SinkUnavailable,
        StaleFence,
        Transient,
        Unreachable,
        UnusableAnswer,
        UsageError,
    )
    from paceline.planning.forecast import Forecast
    from paceline.plugins.context import Context
    from paceline.plugins.hookspecs import Register, RegisterCommand, hookimpl
    from paceline.process.stoppable import run_stoppable
    from paceline.roadmaps.model import Concept, Module, Roadmap, Stage, load_roadmap, parse_roadmap
    from paceline.runtime.worker import Worker
    from paceline.settings.model import (
        ModelSettings,
        ProviderSettings,
        RedisSettings,
        Settings,
        StepSettings,
        StoreSettings,
        WebSettings,
    )

__all__ = [
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

#: The module of each name.
_MODULES = {
    name: module
    for module, names in {
        "paceline.app": ("App",),
        "paceline.client.client": ("Client",),
        "paceline.contracts.admission.ledger": (
            "Grant",
            "Lease",
            "LeaseRelease",
            "LeaseRequest",
            "Ledger",
            "Quota",
        ),
        "paceline.contracts.admission.planned_call": (
            "PlannedCall",
            "PlannedRoadmap",
        ),
        "paceline.contracts.admission.strategy": ("Strategy",),
        "paceline.contracts.admission.work": (
            "Done",
            "Failed",
            "Level",
            "Outcome",
            "Permit",
            "RateLimited",
            "RateLimitInfo",
            "Work",
        ),
        "paceline.contracts.events": (
            "Event",
            "EventBus",
        ),
        "paceline.contracts.executor": (
            "Executor",
            "WorkerLoad",
        ),
        "paceline.contracts.exporter": (
            "ExportedArtifact",
            "ExportedConcept",
            "ExportedRun",
            "Exporter",
            "FileExporter",
            "FolderExporter",
        ),
        "paceline.contracts.finding": ("Finding",),
        "paceline.contracts.options": (
            "NoOptions",
            "Options",
        ),
        "paceline.contracts.provider": (
            "Completion",
            "CompletionRequest",
            "Message",
            "Provider",
            "Tool",
            "ToolCall",
        ),
        "paceline.contracts.share": ("Share",),
        "paceline.contracts.sink": (
            "Delivery",
            "Sink",
            "TransactionalSink",
        ),
        "paceline.contracts.steps.check": (
            "Check",
            "Checked",
        ),
        "paceline.contracts.steps.questions": (
            "Card",
            "Question",
        ),
        "paceline.contracts.steps.step": (
            "Step",
            "StepContext",
            "Subject",
            "Use",
        ),
        "paceline.contracts.storage.records": (
            "Artifact",
            "Claim",
            "ConceptState",
            "Replaced",
            "Run",
        ),
        "paceline.contracts.storage.store": ("Store",),
        "paceline.contracts.storage.versions": ("Revision",),
        "paceline.contracts.telemetry": (
            "Span",
            "Telemetry",
        ),
        "paceline.contracts.worker": ("RunWorker",),
        "paceline.errors": (
            "AccountExhausted",
            "BudgetError",
            "ContextError",
            "DatabaseNotFound",
            "Fatal",
            "KeyReused",
            "PacelineError",
            "PartRejected",
            "PartUnavailable",
            "PluginError",
            "ProviderError",
            "ProviderUnusable",
            "Refused",
            "RequestTooLong",
            "RoadmapError",
            "RunConflict",
            "RunNotFound",
            "RunPaused",
            "SchemaVersionError",
            "SettingsError",
            "SinkUnavailable",
            "StaleFence",
            "Transient",
            "Unreachable",
            "UnusableAnswer",
            "UsageError",
        ),
        "paceline.planning.forecast": ("Forecast",),
        "paceline.plugins.context": ("Context",),
        "paceline.plugins.hookspecs": (
            "Register",
            "RegisterCommand",
            "hookimpl",
        ),
        "paceline.process.stoppable": ("run_stoppable",),
        "paceline.roadmaps.model": (
            "Concept",
            "Module",
            "Roadmap",
            "Stage",
            "load_roadmap",
            "parse_roadmap",
        ),
        "paceline.runtime.worker": ("Worker",),
        "paceline.settings.model": (
            "ModelSettings",
            "ProviderSettings",
            "RedisSettings",
            "Settings",
            "StepSettings",
            "StoreSettings",
            "WebSettings",
        ),
    }.items()
    for name in names
}

if not TYPE_CHECKING:  # else a type checker would accept any name

    def __getattr__(name: str) -> object:
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(module), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULES})
