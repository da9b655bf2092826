"""The parts of one process, chosen by the settings and made on its event loop."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from paceline.contracts.events import EventBus
from paceline.contracts.executor import Executor
from paceline.contracts.ledger import Ledger
from paceline.contracts.provider import Provider
from paceline.contracts.step import Step
from paceline.contracts.store import Store
from paceline.contracts.strategy import Strategy
from paceline.contracts.telemetry import OFF, Gauges, Telemetry
from paceline.contracts.worker import WorkerHost
from paceline.plugins.context import Context, no_ledger
from paceline.plugins.registry import Plugins
from paceline.runtime.strategy_stack import StrategyStack
from paceline.settings.load import options_for
from paceline.settings.model import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    """What a process needs to submit, steer and follow runs; the store is open."""

    settings: Settings
    store: Store
    bus: EventBus
    executor: Executor
    telemetry: Telemetry = OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(ClientParts):
    """What a worker process needs; the steps are in order, with their names."""

    provider: Provider
    strategy: StrategyStack
    steps: Sequence[tuple[str, Step]]
    gauges: Gauges = field(default_factory=Gauges)


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
        return self.plugins.store(self.settings.store_kind).make({}, context, "store")

    def ledger(self, context: Context) -> Ledger:
        """The ledger; the caller closes it."""
        return self.plugins.ledger(self.settings.ledger_kind).make({}, context, "ledger")

    def strategy(self, context: Context) -> StrategyStack:
        """The strategies, stacked; the caller closes them."""
        if self.ready.strategies is not None:
            return StrategyStack(self.ready.strategies)
        named: list[tuple[str, Strategy]] = []
        for name in self.settings.strategy:
            options = options_for(self.settings.strategies, name)
            made = self.plugins.strategy(name).make(options, context, f"strategies.{name}")
            named.append((name, made))
        return StrategyStack(named)

    def provider(self, context: Context) -> Provider:
        """The provider; the caller closes it unless it is a ready part."""
        if self.ready.provider is not None:
            return self.ready.provider
        name = self.settings.provider.name
        options = options_for(self.settings.providers, name)
        return self.plugins.provider(name).make(options, context, f"providers.{name}")

    def step(self, name: str, context: Context) -> Step:
        """One step by name."""
        return self.plugins.step(name).make({}, context, "steps")

    @asynccontextmanager
    async def open_store(
        self, *, worker_id: str = "", pool_limit: int | None = None
    ) -> AsyncGenerator[Store]:
        """Open the store; it is closed at the end.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        if self.ready.store is not None:
            yield self.ready.store
            return
        context = self.context(worker_id=worker_id, pool_limit=pool_limit)
        async with closing(self.store(context)) as store:
            await store.open()
            yield store

    @asynccontextmanager
    async def open_bus(self) -> AsyncGenerator[EventBus]:
        """Open the event bus; it is closed at the end."""
        if self.ready.bus is not None:
            yield self.ready.bus
            return
        offer = self.plugins.event_bus(self.settings.bus_kind)
        async with closing(offer.make({}, self.context(), "events")) as bus:
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
        async with closing(self.plugins.telemetry(kind).make({}, context, "otel")) as telemetry:
            yield telemetry

    @asynccontextmanager
    async def open_client_parts(
        self, *, worker_id: str = "", pool_limit: int | None = None
    ) -> AsyncGenerator[ClientParts]:
        """Open what a client needs; everything is closed in reverse order at the end.

        Raises:
            PartUnavailable: the store cannot be reached.
        """
        async with (
            self.open_telemetry(worker_id=worker_id) as telemetry,
            self.open_store(worker_id=worker_id, pool_limit=pool_limit) as store,
            self.open_executor() as executor,
            self.open_bus() as bus,
        ):
            yield ClientParts(
                settings=self.settings, store=store, bus=bus, executor=executor, telemetry=telemetry
            )

    @asynccontextmanager
    async def open_parts(
        self, *, worker_id: str = "", pool_limit: int | None = None
    ) -> AsyncGenerator[Parts]:
        """Open what a worker needs; everything is closed in reverse order at the end.

        Raises:
            PartUnavailable: the store cannot be reached.
            SettingsError: options or the stack of strategies are wrong.
        """
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                self.open_client_parts(worker_id=worker_id, pool_limit=pool_limit)
            )
            ledgers: list[Ledger] = []

            def ledger() -> Ledger:
                if not ledgers:
                    made = self.ledger(context)
                    stack.push_async_callback(made.close)
                    ledgers.append(made)
                return ledgers[0]

            context = self.context(worker_id=worker_id, pool_limit=pool_limit, ledger=ledger)
            strategy = self.strategy(context)
            if self.ready.strategies is None:
                stack.push_async_callback(strategy.close)
            provider = self.provider(context)
            if self.ready.provider is None:
                stack.push_async_callback(provider.close)
            gauges = Gauges()
            client.telemetry.watch(gauges, client.store.pool)
            yield Parts(
                settings=self.settings,
                store=client.store,
                bus=client.bus,
                executor=client.executor,
                telemetry=client.telemetry,
                provider=provider,
                strategy=strategy,
                steps=[(name, self.step(name, context)) for name in self.settings.run.steps],
                gauges=gauges,
            )
