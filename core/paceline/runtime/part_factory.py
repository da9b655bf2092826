"""Makes the parts of one process, as the settings say, on its event loop."""

import secrets
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol, TypeVar

from pydantic import BaseModel

from paceline.calls.models import Model, Models
from paceline.calls.prices import with_price
from paceline.contracts.admission.ledger import Ledger
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.exporter import Exporter
from paceline.contracts.provider import Provider
from paceline.contracts.sink import Sink, TransactionalSink
from paceline.contracts.steps.check import Check
from paceline.contracts.steps.step import Step
from paceline.contracts.storage.budgets import BudgetLimits, HasBudgetLimits
from paceline.contracts.storage.outbox import SinkRoute
from paceline.contracts.storage.store import Store
from paceline.contracts.telemetry import OFF, Gauges, Telemetry
from paceline.contracts.worker import WorkerHost
from paceline.delivery.compose import Composer
from paceline.delivery.courier import Courier
from paceline.delivery.couriers import Couriers
from paceline.errors import PluginError, SettingsError
from paceline.generation.parts import ClientParts, Parts
from paceline.generation.resources import Resources
from paceline.generation.strategy_stack import StrategyStack
from paceline.plugins.context import Context, no_ledger
from paceline.plugins.masking import masked
from paceline.plugins.registry import Plugins
from paceline.settings.load import options_for
from paceline.settings.model import MAIN_MODEL, Settings
from paceline.settings.sinks import may_write_with, sink_offer, sink_routes
from paceline.settings.steps import StepGraph, chain_of, needs_of, step_offer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyParts:
    """Parts that the embedding program or a test made itself.

    paceline uses them in place of those of the settings. It neither opens nor closes them. The
    store is open. The strategies have their names, outer first.
    """

    store: Store | None = None
    provider: Provider | None = None
    bus: EventBus | None = None
    strategies: Sequence[tuple[str, Strategy]] | None = None


class _Closable(Protocol):
    async def close(self) -> None: ...


ClosableT = TypeVar("ClosableT", bound=_Closable)


@asynccontextmanager
async def closing(part: ClosableT) -> AsyncGenerator[ClosableT]:
    """Use a part, and close it at the end."""
    try:
        yield part
    finally:
        await part.close()


def _masking(options: BaseModel) -> Callable[[str], str]:
    return lambda text: masked(text, options)


def _check_prices(models: Iterable[Model]) -> None:
    """Check that the cost of every call will be known, for a budget.

    Raises:
        SettingsError: a model has no price; the text names the setting.
    """
    for model in models:
        if model.settings.cost(1, 1) is None:
            raise SettingsError(
                f"{model.section}.prompt_price and {model.section}.completion_price must be set, "
                f"because strategy budget needs the price of {model.settings.model}; the extra "
                "prices knows those of well-known models"
            )


@dataclass(frozen=True, slots=True)
class PartFactory:
    """Makes parts as the settings say, unless they are ``ready`` already."""

    settings: Settings
    plugins: Plugins
    host: WorkerHost
    ready: ReadyParts = ReadyParts()

    def context(
        self,
        *,
        worker_id: str = "",
        pool_limit: int | None = None,
        ledger: Callable[[], Ledger] = no_ledger,
    ) -> Context:
        """The context that factories of plugins receive."""
        return Context(
            settings=self.settings,
            worker_id=worker_id,
            pool_limit=pool_limit,
            ledger=ledger,
            host=lambda: self.host,
        )

    def executor(self) -> Executor:
        """The executor; the caller closes it."""
        name = self.settings.executor
        options = options_for(self.settings.executors, name)
        return self.plugins.executor(name).make(options, self.context(), f"executors.{name}")

    def store(self, context: Context) -> Store:
        """The store of the settings, not open; the caller closes it."""
        name = self.settings.store_kind
        options = options_for(self.settings.stores, name)
        return self.plugins.store(name).make(options, context, f"stores.{name}")

    def ledger(self, context: Context) -> Ledger:
        """The ledger; the caller closes it."""
        name = self.settings.ledger_kind
        options = options_for(self.settings.ledgers, name)
        return self.plugins.ledger(name).make(options, context, f"ledgers.{name}")

    def strategy(self, context: Context) -> StrategyStack:
        """The strategies, stacked; the caller closes them."""
        if self.ready.strategies is not None:
            return StrategyStack(self.ready.strategies, context.controls)
        return StrategyStack(self.strategies(context), context.controls)

    def strategies(
        self, context: Context, *, without: Collection[str] = ()
    ) -> Sequence[tuple[str, Strategy]]:
        """The strategies of the settings with their names, outer first; the caller closes them."""
        named: list[tuple[str, Strategy]] = []
        for name in self.settings.strategy:
            if name not in without:
                options = options_for(self.settings.strategies, name)
                made = self.plugins.strategy(name).make(options, context, f"strategies.{name}")
                named.append((name, made))
        return named

    def budget_limits(self) -> BudgetLimits | None:
        """The limits of the strategy that reserves money; ``None`` without such a strategy."""
        if self.ready.strategies is not None:
            return StrategyStack(self.ready.strategies).budget_limits
        for name in self.settings.strategy:
            limits = self._limits_of(name)
            if limits is not None:
                return limits
        return None

    def money_strategies(self) -> Sequence[str]:
        """Names of the strategies of the settings that reserve money."""
        return [name for name in self.settings.strategy if self._limits_of(name) is not None]

    def _limits_of(self, strategy: str) -> BudgetLimits | None:
        given = options_for(self.settings.strategies, strategy)
        options = self.plugins.strategy(strategy).check(given, f"strategies.{strategy}")
        return options.budget_limits() if isinstance(options, HasBudgetLimits) else None

    def model_names(self) -> Sequence[str]:
        """Names of the models to open: those of the settings, and ``main`` if a step needs it."""
        chains = [chain_of(self.settings, name) for name in self.settings.run.steps]
        used = {name.replace("_", "-") for chain in chains for name in chain}
        return sorted({*self.settings.models, *used})

    def model(self, name: str, context: Context) -> Model:
        """One model; the caller closes its provider unless it is a ready part."""
        settings = self.settings.model(name)
        if self.ready.provider is not None and name == MAIN_MODEL:
            return Model(name, self.ready.provider, settings)
        settings, _ = with_price(settings)
        own = replace(context, settings=self.settings.model_copy(update={"provider": settings}))
        offer = self.plugins.provider(settings.name)
        options = options_for(self.settings.providers, settings.name)
        section = f"models.{name}" if name in self.settings.models else "provider"
        provider = offer.make(options, own, f"providers.{settings.name}")
        return Model(name, provider, settings, section)

    def resources(self, context: Context) -> Resources:
        """The resources; the caller closes them. The first use opens the ledger."""
        # Not the worker's id alone: a restarted worker must not be taken for the previous one.
        holder = f"{context.worker_id or 'client'}-{secrets.token_hex(4)}"
        return Resources(
            self.settings.resources, context.ledger, holder=holder, controls=context.controls
        )

    def step(self, name: str, context: Context) -> Step:
        """One step by name."""
        options = self.settings.step(name).options()
        step = step_offer(self.settings, self.plugins, name).make(options, context, f"steps.{name}")
        if type(step).make is Step.make and type(step).prompt is Step.prompt:
            raise PluginError(f"step {name}: {type(step).__name__} must define prompt() or make()")
        return step

    def step_graph(self, context: Context | None = None) -> StepGraph:
        """The steps of the settings, and what each one needs."""
        context = context or self.context()
        steps = [(name, self.step(name, context)) for name in self.settings.run.steps]
        return StepGraph(steps, needs_of(self.settings, steps))

    def checks(self, step: str, context: Context) -> Sequence[tuple[str, Check]]:
        """The checks of a step, with their names; the caller closes them."""
        return [
            (
                name,
                self.plugins.check(name).make(
                    options_for(self.settings.checks, name), context, f"checks.{name}"
                ),
            )
            for name in self.settings.step(step).checks
        ]

    def exporter(self, name: str) -> Exporter:
        """The exporter of a format.

        Raises:
            PluginError: a package that it needs is not installed.
            SettingsError: it does not exist; the text lists the allowed names.
        """
        offer = self.plugins.exporter(name)
        options = options_for(self.settings.exporters, name)
        return offer.make(options, self.context(), f"exporters.{name}")

    def sink(self, name: str, context: Context) -> Sink:
        """One sink by the name of its section, not open; the caller closes it."""
        options = self.settings.sinks[name].options()
        offer = sink_offer(self.settings, self.plugins, name)
        return offer.make(options, context, f"sinks.{name}")

    def _route(self, store: Store, context: Context) -> None:
        """Tell a store which sinks receive what it commits."""
        routes = {route.sink: route for route in sink_routes(self.settings)}
        writers: list[tuple[SinkRoute, TransactionalSink]] = []
        for name in self.settings.sinks:
            if may_write_with(self.settings, name):
                sink = self.sink(name, context)
                if isinstance(sink, TransactionalSink):
                    writers.append((routes.pop(name), sink))
        store.write_with(writers)
        store.deliver_to(list(routes.values()))

    def couriers(self, store: Store, context: Context, gauges: Gauges) -> Couriers:
        """What delivers to the sinks of the settings; the caller starts and stops it."""
        if not self.settings.sinks:
            return Couriers(store, [])
        steps = {name: self.step(name, context) for name in self.settings.run.steps}
        composer = Composer(store, steps, self.settings.provider.currency)
        couriers: list[Courier] = []
        for name, settings in self.settings.sinks.items():
            offer = sink_offer(self.settings, self.plugins, name)
            options = offer.check(settings.options(), f"sinks.{name}")
            sink, mask = self.sink(name, context), _masking(options)
            if isinstance(sink, TransactionalSink):
                continue
            couriers.append(Courier(name, sink, settings, store, composer, gauges, mask=mask))
        return Couriers(store, couriers)

    @asynccontextmanager
    async def open_store(
        self, *, worker_id: str = "", pool_limit: int | None = None, create: bool = True
    ) -> AsyncGenerator[Store]:
        """Open the store; it is closed at the end. ``create`` is that of ``Store.open``.

        Raises:
            DatabaseNotFound: the database does not exist, and ``create`` is false.
            PartUnavailable: the store cannot be reached.
        """
        if self.ready.store is not None:
            if self.settings.sinks:
                self._route(self.ready.store, self.context(worker_id=worker_id))
            yield self.ready.store
            return
        context = self.context(worker_id=worker_id, pool_limit=pool_limit)
        async with closing(self.store(context)) as store:
            self._route(store, context)
            await store.open(create=create)
            yield store

    @asynccontextmanager
    async def open_bus(self) -> AsyncGenerator[EventBus]:
        """Open the event bus; it is closed at the end."""
        if self.ready.bus is not None:
            yield self.ready.bus
            return
        name = self.settings.bus_kind
        options = options_for(self.settings.event_buses, name)
        offer = self.plugins.event_bus(name)
        async with closing(offer.make(options, self.context(), f"event_buses.{name}")) as bus:
            yield bus

    def open_executor(self) -> AbstractAsyncContextManager[Executor]:
        """Open the executor as a client; it is closed at the end."""
        return closing(self.executor())

    @asynccontextmanager
    async def open_telemetry(self, *, worker_id: str = "") -> AsyncGenerator[Telemetry]:
        """Open telemetry if the settings ask for it; it is flushed and closed at the end."""
        kind = self.settings.telemetry_kind
        if kind is None:
            yield OFF
            return
        context = self.context(worker_id=worker_id)
        offer, options = self.plugins.telemetry(kind), options_for(self.settings.telemetries, kind)
        async with closing(offer.make(options, context, f"telemetries.{kind}")) as telemetry:
            yield telemetry

    @asynccontextmanager
    async def open_client_parts(
        self, *, worker_id: str = "", pool_limit: int | None = None, create: bool = True
    ) -> AsyncGenerator[ClientParts]:
        """Open what a client needs; everything is closed in reverse order at the end.

        Raises:
            DatabaseNotFound: the database does not exist, and ``create`` is false.
            PartUnavailable: the store cannot be reached.
        """
        async with (
            self.open_telemetry(worker_id=worker_id) as telemetry,
            self.open_store(worker_id=worker_id, pool_limit=pool_limit, create=create) as store,
            self.open_executor() as executor,
            self.open_bus() as bus,
        ):
            yield ClientParts(
                settings=self.settings,
                store=store,
                bus=bus,
                executor=executor,
                graph=cache(self.step_graph),
                telemetry=telemetry,
                budget_limits=cache(self.budget_limits),
            )

    @asynccontextmanager
    async def open_parts(
        self, *, worker_id: str = "", pool_limit: int | None = None
    ) -> AsyncGenerator[Parts]:
        """Open what a worker needs; everything is closed in reverse order at the end.

        Raises:
            PartUnavailable: the store, or the ledger of the strategies, cannot be reached.
            SettingsError: options or the stack of strategies are wrong.
        """
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                self.open_client_parts(worker_id=worker_id, pool_limit=pool_limit)
            )
            ledgers: list[Ledger] = []

            def ledger() -> Ledger:
                if not ledgers:
                    ledgers.append(self.ledger(context))
                return ledgers[0]

            async def close_ledger() -> None:
                for made in ledgers:
                    await made.close()

            # Resources may open it during a run. It closes after all that use it.
            stack.push_async_callback(close_ledger)
            context = self.context(worker_id=worker_id, pool_limit=pool_limit, ledger=ledger)
            context = replace(context, budgets=lambda: client.store)
            strategy = self.strategy(context)
            if self.ready.strategies is None:
                stack.push_async_callback(strategy.close)
            resources = self.resources(context)
            stack.push_async_callback(resources.close)
            for used in ledgers:
                await used.check()
            models: dict[str, Model] = {}
            for name in self.model_names():
                models[name] = self.model(name, context)
                if models[name].provider is not self.ready.provider:
                    stack.push_async_callback(models[name].provider.close)
            if strategy.budget_limits is not None:
                _check_prices(models.values())
            graph = self.step_graph(context)
            checks = {name: self.checks(name, context) for name, _ in graph.steps}
            for made in checks.values():
                for _, check in made:
                    stack.push_async_callback(check.close)
            gauges = Gauges()
            client.telemetry.watch(gauges, client.store.pool)
            yield Parts(
                settings=self.settings,
                store=client.store,
                bus=client.bus,
                executor=client.executor,
                telemetry=client.telemetry,
                models=Models(models),
                strategy=strategy,
                graph=lambda: graph,
                checks=checks,
                gauges=gauges,
                resources=resources,
                controls=context.controls,
                budget_limits=lambda: strategy.budget_limits,
            )
