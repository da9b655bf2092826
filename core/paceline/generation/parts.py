"""The parts of one process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from paceline.admission.live_controls import LiveControls
from paceline.calls.models import Models
from paceline.calls.trace import Trace
from paceline.contracts.admission.limit_figures import MAX_LIMITS, LimitFigures
from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.steps.check import Check
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.budgets import BudgetLimits
from paceline.contracts.storage.store import Store
from paceline.contracts.storage.timeline import MAX_OPEN, OpenStep
from paceline.contracts.telemetry import OFF, Gauges, Telemetry
from paceline.generation.resources import Resources
from paceline.generation.strategy_stack import StrategyStack
from paceline.settings.model import Settings
from paceline.settings.steps import StepGraph, chain_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    """What a process needs to submit, steer and follow runs; the store is open.

    ``graph`` returns the steps, which a client makes only if it needs them. ``budget_limits``
    returns the limits of money, ``None`` if no strategy reserves it.
    """

    settings: Settings
    store: Store
    bus: EventBus
    executor: Executor
    graph: Callable[[], StepGraph]
    telemetry: Telemetry = OFF
    budget_limits: Callable[[], BudgetLimits | None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(ClientParts):
    """What a worker process needs.

    ``checks`` are the checks of each step's answer. ``controls`` are what operators have changed.
    ``open_steps`` are the traces of the steps that are being made, by run, concept and step.
    """

    models: Models
    strategy: StrategyStack
    checks: Mapping[str, Sequence[tuple[str, Check]]] = field(
        default_factory=dict[str, Sequence[tuple[str, Check]]]
    )
    gauges: Gauges = field(default_factory=Gauges)
    resources: Resources = field(default_factory=Resources)
    controls: LiveControls = field(default_factory=LiveControls)
    open_steps: dict[tuple[str, str, str], Trace] = field(
        default_factory=dict[tuple[str, str, str], Trace]
    )

    @property
    def steps(self) -> Sequence[tuple[str, Step]]:
        """The steps in order, with their names."""
        return self.graph().steps

    @property
    def needs(self) -> Mapping[str, frozenset[str]]:
        """The steps that each step needs, also indirectly."""
        return self.graph().needs

    def steps_in_work(self) -> tuple[OpenStep, ...]:
        """The steps that are being made, the oldest first, at most ``MAX_OPEN``."""
        return tuple(
            OpenStep(
                run_id=run_id,
                concept_id=concept_id,
                step=step,
                seconds=trace.seconds,
                phases=trace.so_far(),
            )
            for (run_id, concept_id, step), trace in islice(self.open_steps.items(), MAX_OPEN)
        )

    def explain_limits(self) -> str:
        """Describe strategies and resources, in one line for ``paceline status``."""
        resources = self.resources.explain()
        return self.strategy.explain() + (f"; resources ({resources})" if resources else "")

    def limits(self) -> tuple[LimitFigures, ...]:
        """The limits of strategies and resources in numbers, at most ``MAX_LIMITS``."""
        return (*self.strategy.limits(), *self.resources.limits())[:MAX_LIMITS]

    def key_of(self, step: str) -> str:
        """What the quota of a step's first model is counted for."""
        first, *_ = self.models.chain(chain_of(self.settings, step))
        return first.key
