"""Checks every part that the settings choose, and how they fit together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit

from paceline.calls.prices import describe_price, with_price
from paceline.client.context_schema import load_context_schema
from paceline.contracts.admission.ledger import Ledger
from paceline.contracts.executor import Executor
from paceline.contracts.finding import Finding, Level
from paceline.contracts.storage.outbox import SinkFigures, describe_sink
from paceline.contracts.storage.records import Budget, WorkerRecord
from paceline.contracts.storage.store import Store
from paceline.doctor import rules
from paceline.errors import (
    DatabaseNotFound,
    PacelineError,
    PartRejected,
    PartUnavailable,
    Refused,
    SettingsError,
)
from paceline.generation.strategy_stack import StrategyStack
from paceline.runtime.part_factory import PartFactory, closing
from paceline.settings.model import Settings
from paceline.settings.show import store_address
from paceline.text import count

#: Seconds that one part may take to respond.
TIMEOUT = 20.0
_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}

T = TypeVar("T")


@dataclass(slots=True)
class _Report:
    """Collects findings. A failed check becomes a finding, so that all parts are checked."""

    findings: list[Finding]

    def add(self, found: Finding) -> None:
        self.findings.append(found)

    def add_result(self, part: str, result: str | Finding) -> None:
        """Add what the check of a part returned."""
        self.add(result if isinstance(result, Finding) else Finding("ok", part, result))

    async def check(
        self, part: str, fix: str, check: Callable[[], Awaitable[T]], seconds: float = TIMEOUT
    ) -> T | None:
        try:
            async with asyncio.timeout(seconds):
                return await check()
        except Refused as error:
            self.add(
                Finding("warning", part, f"it can be reached, but refuses calls for now: {error}")
            )
        except PartRejected as error:  # it says itself what to do
            self.add(Finding("wrong", part, str(error)))
        except SettingsError as error:
            self.add(Finding("wrong", part, error.problem, error.fix or fix))
        except PacelineError as error:
            self.add(Finding("wrong", part, str(error), fix))
        except TimeoutError:
            self.add(Finding("wrong", part, f"no response within {seconds:g} s", fix))
        except Exception as error:  # noqa: BLE001
            # A bug in a plugin must not hide other findings. Its text may contain a secret.
            self.add(Finding("wrong", part, f"its plugin failed: {type(error).__name__}", fix))
        return None


async def examine(factory: PartFactory) -> Sequence[Finding]:
    """Check that every part can be reached and the settings fit together. Raises nothing."""
    settings = factory.settings
    store, bus, provider, sinks, local = (_Report([]) for _ in range(5))
    async with AsyncExitStack() as stack:
        executor, strategy = await _make(factory, stack, local)
        reached, _, _, _, loads = await asyncio.gather(
            _store(factory, store),
            _redis(factory, bus),
            _provider(factory, provider),
            _sinks(factory, sinks),
            _executor(settings, executor, local),
        )
        budget = None if reached is None else reached[0]
        workers = () if reached is None else reached[1]
        together = list(rules.times(settings))
        if executor is not None:
            _workers(settings, executor, workers, loads, local)
            # A check may have raised one of them already.
            local.findings += [it for it in executor.findings() if it not in local.findings]
            together += rules.sharing(settings, executor, strategy, live=len(workers))
        if budget is not None:
            processes = 1 if executor is None else executor.processes
            together += rules.connections(settings, budget, processes=processes)
    broken = [
        Finding(
            "warning",
            f"plugin {item.name}",
            f"it cannot be loaded: {item.reason}",
            "repair or uninstall it, or set PACELINE_PLUGINS=none to leave all such plugins out",
        )
        for item in factory.plugins.broken
    ]
    reports = (store, bus, provider, sinks, local)
    parts = [finding for report in reports for finding in report.findings]
    return [*parts, *together, *broken]


async def _make(
    factory: PartFactory, stack: AsyncExitStack, report: _Report
) -> tuple[Executor | None, StrategyStack | None]:
    """Make the parts that need no server, to check their options."""

    async def executor() -> Executor:
        return await stack.enter_async_context(factory.open_executor())

    async def strategy() -> StrategyStack:
        return await stack.enter_async_context(closing(factory.strategy(context)))

    async def steps() -> None:
        for name in settings.run.steps:
            factory.step(name, context)
        report.add(Finding("ok", "steps", " → ".join(settings.run.steps)))

    async def context_schema() -> None:
        path = settings.run.context_schema
        if path is not None:
            await asyncio.to_thread(load_context_schema, path)
            report.add(Finding("ok", "context schema", str(path)))

    async def resources() -> None:
        async with closing(factory.resources(context)) as made:
            report.add(Finding("ok", "resources", made.explain()))

    def ledger() -> Ledger:
        made = factory.ledger(context)
        stack.push_async_callback(made.close)
        return made

    settings = factory.settings

    def budgets() -> Store:
        # Not open: a strategy that is only made does not use it.
        store = factory.store(factory.context())
        stack.push_async_callback(store.close)
        return store

    context = replace(factory.context(ledger=ledger), budgets=budgets)
    made = await report.check(f"executor {settings.executor}", "", executor)
    stacked = await report.check("strategy", "", strategy)
    if stacked is not None:
        text = stacked.explain() or "/".join(settings.strategy)
        report.add(Finding("ok", "strategy", text))
    await report.check("steps", "", steps)
    if settings.run.context_schema is not None:
        await report.check("context schema", "", context_schema)
    if settings.resources:
        await report.check("resources", "set the variable, or write the key in keys", resources)
    return made, stacked


async def _store(
    factory: PartFactory, report: _Report
) -> tuple[Budget, Sequence[WorkerRecord]] | None:
    async def look() -> tuple[Budget, Sequence[WorkerRecord]] | None:
        try:
            async with factory.open_store(create=False) as store:
                found = await store.budget(), await store.workers()
                text = f"{store_address(factory.settings)} reached; the schema is up to date"
                report.add(Finding("ok", "store", text))
                report.findings += store.findings()
                report.findings += [_sink_state(one) for one in await store.sink_figures()]
                return found
        except DatabaseNotFound as error:
            report.add(Finding("ok", "store", str(error)))
            return None

    return await report.check("store", "check store.url and that the server runs", look)


def _sink_state(one: SinkFigures) -> Finding:
    """What the store knows of a sink."""
    level: Level = "warning" if one.failures or one.dead else "ok"
    fix = f"repair what it names, then: paceline sinks retry {one.sink}" if one.dead else ""
    return Finding(level, f"sink {one.sink}", describe_sink(one), fix)


async def _redis(factory: PartFactory, report: _Report) -> None:
    """Check the ledger and the event bus."""
    settings = factory.settings
    url = settings.redis.url

    async def ledger() -> None:
        async with closing(factory.ledger(factory.context())) as made:
            result = await made.check()
        if not result and url is not None:
            result = await _connect(url.get_secret_value())
        report.add_result(f"ledger {settings.ledger_kind}", result or "ready")

    async def bus() -> None:
        async with factory.open_bus() as made:
            result = await made.check()
        report.add_result(f"events {settings.bus_kind}", result or "ready")

    fix = "" if url is None else "check redis.url and that the server runs"
    await report.check(f"ledger {settings.ledger_kind}", fix, ledger)
    await report.check(f"events {settings.bus_kind}", fix, bus)


async def _sinks(factory: PartFactory, report: _Report) -> None:
    """Check that each sink can be reached. Nothing is delivered."""
    for name, settings in factory.settings.sinks.items():
        title = f"sink {name}"

        async def look(name: str = name, title: str = title) -> None:
            async with closing(factory.sink(name, factory.context())) as made:
                result = await made.check()
            if isinstance(result, Finding):
                result = replace(result, part=title)
            report.add_result(title, result or "created; it has no check of its own")

        await report.check(
            title, f"check sinks.{name} and that {settings.use or name} can be reached", look
        )


async def _provider(factory: PartFactory, report: _Report) -> None:
    for name in factory.model_names():
        settings = factory.settings.model(name)
        own = name in factory.settings.models
        section = f"models.{name}" if own else "provider"
        title = f"model {name}" if own else f"provider {settings.name}"

        async def look(
            name: str = name,
            title: str = title,
            section: str = section,
            url: str | None = settings.base_url,
        ) -> None:
            model = factory.model(name, factory.context())
            _add_price(factory.settings, section, name, report)
            async with closing(model.provider) as made:
                try:
                    result = await made.check()
                except PacelineError as error:
                    model.name_settings(error)
                    raise
            if isinstance(result, Finding) and model.section != "provider":
                fix = model.own_names(result.fix)
                result = replace(result, part=title, text=model.own_names(result.text), fix=fix)
            if not result and url is not None:
                result = await _connect(url)
            report.add_result(title, result or "created; it has no check of its own")

        await report.check(
            title, f"check {section}.base_url, {section}.model and the API key", look
        )


def _add_price(settings: Settings, section: str, name: str, report: _Report) -> None:
    """Report the price of a model; it must be known if the strategy ``budget`` needs it."""
    priced, origin = with_price(settings.model(name))
    title = f"price of model {name}"
    if origin:
        report.add(Finding("ok", title, describe_price(priced, origin)))
    elif "budget" in settings.strategy:
        fix = f"set {section}.prompt_price and {section}.completion_price"
        report.add(Finding("wrong", title, "unknown, and strategy budget needs it", fix))


async def _executor(settings: Settings, executor: Executor | None, report: _Report) -> int | None:
    """Check the broker; returns the number of workers that respond, if the queue knows."""
    if executor is None:
        return None

    async def look() -> int:
        result = await executor.check()
        if result:
            report.add(Finding("ok", f"executor {settings.executor}", result))
        return len(await executor.inspect())

    fix = "check redis.url and that the broker runs"
    return await report.check(f"executor {settings.executor}", fix, look)


def _workers(
    settings: Settings,
    executor: Executor,
    workers: Sequence[WorkerRecord],
    answering: int | None,
    report: _Report,
) -> None:
    serving = [worker for worker in workers if worker.executor == settings.executor]
    part = f"executor {settings.executor}"
    if serving:
        roadmaps = sum(worker.concurrency for worker in serving)
        processes = count(len(serving), "worker process", "worker processes")
        text = f"{processes} registered, {count(roadmaps, 'roadmap')} at once"
        report.add(Finding("ok", part, text))
    elif executor.distributed and not answering:
        report.add(
            Finding("warning", part, "no worker is registered", "start one: paceline worker")
        )
    else:
        report.add(Finding("ok", part, "no worker is running; `paceline run` needs none"))


async def _connect(url: str) -> str:
    """Check that a TCP connection can be opened, without the protocol of the service."""
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        port = None
    if not parts.hostname or port is None:
        raise SettingsError(f"its address must name a host and a port (scheme {parts.scheme!r})")
    try:
        _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PartUnavailable(f"{parts.hostname}:{port} cannot be reached: {reason}") from None
    writer.close()
    return f"{parts.hostname}:{port} accepts connections"
