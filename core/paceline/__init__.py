"""Generate content for roadmaps, with interchangeable strategies and executors.

This module is the public surface for plugins and for programs that embed paceline; it imports
no adapter.
"""

from paceline.context import Context
from paceline.errors import PacelineError
from paceline.events import Event, EventBus
from paceline.executor import Executor, WorkerLoad
from paceline.headroom import Headroom
from paceline.hookspecs import Register, RegisterCommand, hookimpl
from paceline.ledger import Ask, Grant, Lease, Ledger, Quota, Settled
from paceline.options import NoOptions, Options
from paceline.provider import Completion, CompletionRequest, Message, Provider
from paceline.roadmap import Concept, Module, Roadmap, Stage, load_roadmap, parse_roadmap
from paceline.steps.contract import Step, Subject
from paceline.store import Store
from paceline.strategy import Strategy
from paceline.work import Done, Failed, Outcome, Permit, Refused, Work

__all__ = [
    "Ask",
    "Completion",
    "CompletionRequest",
    "Concept",
    "Context",
    "Done",
    "Event",
    "EventBus",
    "Executor",
    "Failed",
    "Grant",
    "Headroom",
    "Lease",
    "Ledger",
    "Message",
    "Module",
    "NoOptions",
    "Options",
    "Outcome",
    "PacelineError",
    "Permit",
    "Provider",
    "Quota",
    "Refused",
    "Register",
    "RegisterCommand",
    "Roadmap",
    "Settled",
    "Stage",
    "Step",
    "Store",
    "Strategy",
    "Subject",
    "Work",
    "WorkerLoad",
    "hookimpl",
    "load_roadmap",
    "parse_roadmap",
]
