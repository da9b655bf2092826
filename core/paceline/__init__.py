"""Generate content for roadmaps with LLMs, with interchangeable strategies and executors.

This module is the public API, for plugins and for programs that embed paceline. Importing it
imports no adapter.
"""

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
