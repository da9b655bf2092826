"""The parts of one process, as the settings choose them, made on its event loop."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.ledger import Ledger
from paceline.contracts.provider import Provider
from paceline.contracts.step import Step
from paceline.contracts.store import Store
from paceline.contracts.telemetry import OFF, Gauges, Telemetry
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.runtime.strategy_stack import StrategyStack
from paceline.settings.load import options_for
from paceline.settings.model import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a worker process works with.

    Attributes:
        settings: the effective settings.
        store: persistence, opened.
        bus: the event bus.
        provider: the LLM.
        strategy: the strategies of the settings, stacked.
        steps: what is made for each concept, in order, by name.
        executor: where runs are handed to again when they have to be.
        gauges: what the process is doing.
        telemetry: who hears of it while it is done.
    """

    settings: Settings
    store: Store
    bus: EventBus
    provider: Provider
    strategy: StrategyStack
    steps: Sequence[tuple[str, Step]]
    executor: Executor
    gauges: Gauges = field(default_factory=Gauges)
    telemetry: Telemetry = OFF


def make_executor(settings: Settings, plugins: Plugins) -> Executor:
    """The executor of the settings."""
    name = settings.executor
    offer = plugins.executor(name)
    return offer.make(
        options_for(settings.executors, name),
        Context(settings=settings, plugins=plugins),
        f"executors.{name}",
    )


@asynccontextmanager
async def open_store(
    settings: Settings, plugins: Plugins, *, worker_id: str = "", pool_limit: int | None = None
) -> AsyncGenerator[Store]:
    """The store of the settings, opened; closed in the end.

    Raises:
        PartUnavailable: it cannot be reached.
    """
    context = Context(
        settings=settings, plugins=plugins, worker_id=worker_id, pool_limit=pool_limit
    )
    store = plugins.store(settings.store_kind).make({}, context, "store")
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_bus(settings: Settings, plugins: Plugins) -> AsyncGenerator[EventBus]:
    """The event bus of the settings; closed in the end."""
    bus = plugins.event_bus(settings.bus_kind).make(
        {}, Context(settings=settings, plugins=plugins), "events"
    )
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def open_executor(settings: Settings, plugins: Plugins) -> AsyncGenerator[Executor]:
    """The executor of the settings, as a client; closed in the end."""
    executor = make_executor(settings, plugins)
    try:
        yield executor
    finally:
        await executor.close()


@asynccontextmanager
async def open_telemetry(
    settings: Settings, plugins: Plugins, *, worker_id: str = ""
) -> AsyncGenerator[Telemetry]:
    """Who hears what this process does, if anybody; told all of it in the end."""
    if settings.telemetry_kind is None:
        yield OFF
        return
    context = Context(settings=settings, plugins=plugins, worker_id=worker_id)
    telemetry = plugins.telemetry(settings.telemetry_kind).make({}, context, "otel")
    try:
        yield telemetry
    finally:
        await telemetry.close()


@asynccontextmanager
async def open_parts(
    settings: Settings, plugins: Plugins, *, worker_id: str, pool_limit: int | None = None
) -> AsyncGenerator[Parts]:
    """Everything a worker needs; closed in reverse order in the end.

    Args:
        settings: the effective settings.
        plugins: where the parts come from.
        worker_id: id of this worker.
        pool_limit: most database connections of this process.

    Raises:
        PartUnavailable: the store cannot be reached.
        SettingsError: options or the stack of strategies are wrong.
    """
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(
            open_telemetry(settings, plugins, worker_id=worker_id)
        )
        store = await stack.enter_async_context(
            open_store(settings, plugins, worker_id=worker_id, pool_limit=pool_limit)
        )
        bus = await stack.enter_async_context(open_bus(settings, plugins))
        executor = await stack.enter_async_context(open_executor(settings, plugins))
        ledgers: list[Ledger] = []

        def ledger() -> Ledger:
            if not ledgers:
                made = plugins.ledger(settings.ledger_kind).make({}, context, "ledger")
                stack.push_async_callback(made.close)
                ledgers.append(made)
            return ledgers[0]

        context = Context(
            settings=settings,
            plugins=plugins,
            worker_id=worker_id,
            pool_limit=pool_limit,
            ledger=ledger,
        )
        strategy = make_strategy(settings, plugins, context)
        stack.push_async_callback(strategy.close)
        options = options_for(settings.providers, settings.provider.name)
        provider = plugins.provider(settings.provider.name).make(
            options, context, f"providers.{settings.provider.name}"
        )
        stack.push_async_callback(provider.close)
        gauges = Gauges()
        telemetry.watch(gauges, store.pool)
        yield Parts(
            settings=settings,
            store=store,
            bus=bus,
            provider=provider,
            strategy=strategy,
            steps=[
                (name, plugins.step(name).make({}, context, "steps")) for name in settings.run.steps
            ],
            executor=executor,
            gauges=gauges,
            telemetry=telemetry,
        )


def make_strategy(settings: Settings, plugins: Plugins, context: Context) -> StrategyStack:
    """The strategies of the settings, stacked."""
    return StrategyStack(
        [
            (
                name,
                plugins.strategy(name).make(
                    options_for(settings.strategies, name), context, f"strategies.{name}"
                ),
            )
            for name in settings.strategy
        ]
    )
