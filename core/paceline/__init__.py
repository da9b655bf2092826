"""Generate content for roadmaps with LLMs, with interchangeable strategies and executors.

This module is the public API, for plugins and for programs that embed paceline. Importing it
imports no adapter.
"""

from paceline.app import App
from paceline.client.client import Client
from paceline.contracts.events import Event, EventBus
from paceline.contracts.executor import Executor, WorkerLoad
from paceline.contracts.finding import Finding
from paceline.contracts.ledger import Grant, Lease, LeaseRelease, LeaseRequest, Ledger, Quota
from paceline.contracts.options import NoOptions, Options
from paceline.contracts.provider import Completion, CompletionRequest, Message, Provider
from paceline.contracts.records import Artifact, Claim, ConceptState, Run
from paceline.contracts.share import Share
from paceline.contracts.step import Step, Subject
from paceline.contracts.store import Store
from paceline.contracts.strategy import Strategy
from paceline.contracts.telemetry import Span, Telemetry
from paceline.contracts.work import (
    Done,
    Failed,
    Level,
    Outcome,
    Permit,
    RateLimited,
    RateLimitInfo,
    Work,
)
from paceline.errors import (
    AccountExhausted,
    BudgetError,
    Fatal,
    KeyReused,
    PacelineError,
    PartUnavailable,
    PluginError,
    ProviderError,
    ProviderUnusable,
    Refused,
    RequestTooLong,
    RoadmapError,
    RunConflict,
    RunNotFound,
    SchemaVersionError,
    SettingsError,
    StaleFence,
    Transient,
    Unreachable,
    UnusableAnswer,
    UsageError,
)
from paceline.plugins.context import Context
from paceline.plugins.hookspecs import Register, RegisterCommand, hookimpl
from paceline.roadmaps.model import Concept, Module, Roadmap, Stage, load_roadmap, parse_roadmap
from paceline.runtime.worker import Worker
from paceline.settings.model import (
    ProviderSettings,
    RedisSettings,
    Settings,
    StoreSettings,
    WebSettings,
)

__all__ = [
    "AccountExhausted",
    "App",
    "Artifact",
    "BudgetError",
    "Claim",
    "Client",
    "Completion",
    "CompletionRequest",
    "Concept",
    "ConceptState",
    "Context",
    "Done",
    "Event",
    "EventBus",
    "Executor",
    "Failed",
    "Fatal",
    "Finding",
    "Grant",
    "KeyReused",
    "Lease",
    "LeaseRelease",
    "LeaseRequest",
    "Ledger",
    "Level",
    "Message",
    "Module",
    "NoOptions",
    "Options",
    "Outcome",
    "PacelineError",
    "PartUnavailable",
    "Permit",
    "PluginError",
    "Provider",
    "ProviderError",
    "ProviderSettings",
    "ProviderUnusable",
    "Quota",
    "RateLimitInfo",
    "RateLimited",
    "RedisSettings",
    "Refused",
    "Register",
    "RegisterCommand",
    "RequestTooLong",
    "Roadmap",
    "RoadmapError",
    "Run",
    "RunConflict",
    "RunNotFound",
    "SchemaVersionError",
    "Settings",
    "SettingsError",
    "Share",
    "Span",
    "Stage",
    "StaleFence",
    "Step",
    "Store",
    "StoreSettings",
    "Strategy",
    "Subject",
    "Telemetry",
    "Transient",
    "Unreachable",
    "UnusableAnswer",
    "UsageError",
    "WebSettings",
    "Work",
    "Worker",
    "WorkerLoad",
    "hookimpl",
    "load_roadmap",
    "parse_roadmap",
]
