"""Checks of the settings that need no connection."""

from collections.abc import Iterator

from paceline.contracts.executor import Executor
from paceline.contracts.finding import Finding, ascending
from paceline.contracts.storage.records import Budget
from paceline.contracts.storage.rules import reduced_pool_size
from paceline.generation.strategy_stack import StrategyStack
from paceline.runtime.heartbeat import BEAT
from paceline.settings.model import Settings
from paceline.text import count

#: A lease should last this many heartbeats, so that one slow heartbeat loses no run.
BEATS_PER_LEASE = 3


def times(settings: Settings) -> Iterator[Finding]:
    """Check that leases last longer than heartbeats, and runs longer than attempts."""
    lease = settings.run.lease
    if lease < BEATS_PER_LEASE * BEAT:
        yield Finding(
            "wrong" if lease <= BEAT else "warning",
            "times",
            f"run.lease is {lease:g} s, but a worker renews it only every {BEAT:g} s: "
            "after one slow heartbeat it loses its runs",
            f"set run.lease to {BEATS_PER_LEASE * BEAT:g} or more",
        )
    else:
        yield Finding("ok", "times", f"heartbeat every {BEAT:g} s < run.lease {lease:g} s")
    provider, deadline = settings.provider, settings.run.deadline
    yield ascending("times", [("provider.timeout", provider.timeout), ("run.deadline", deadline)])
    if provider.patience >= deadline:
        yield Finding(
            "warning",
            "times",
            f"the provider may refuse a call for {provider.patience:g} s (provider.patience), but "
            f"its run stops after {deadline:g} s (run.deadline)",
            f"lower provider.patience below {deadline:g}",
        )


def sharing(
    settings: Settings, executor: Executor, strategy: StrategyStack | None, *, live: int
) -> Iterator[Finding]:
    """Check that several processes share what they must share.

    ``live`` is the number of worker processes that are registered now.
    """
    several = executor.distributed or executor.processes > 1 or live > 1
    if not several:
        return
    names = "/".join(settings.strategy)
    in_memory = settings.ledger_kind == "memory"
    if executor.distributed and in_memory:
        yield Finding(
            "wrong",
            f"executor {settings.executor}",
            "its workers are separate processes, but redis.url is not set: they cannot share "
            "limits or events",
            "set redis.url",
        )
    elif in_memory and strategy is not None and strategy.shared:
        yield Finding(
            "wrong",
            f"strategy {names}",
            f"it limits all workers together, but there are {max(live, executor.processes)} "
            "workers and the ledger is in memory: each worker would count alone",
            "set redis.url, or run one worker",
        )
    elif in_memory and settings.resources:
        yield Finding(
            "wrong",
            "resources",
            f"they are limited over all workers, but there are {max(live, executor.processes)} "
            "workers and the ledger is in memory: each worker would count alone",
            "set redis.url, or run one worker",
        )
    if strategy is not None and "call" in strategy.levels and not strategy.shared:
        yield Finding(
            "warning",
            f"strategy {names}",
            "it limits calls per process: the provider gets the sum over all processes",
            'add "global" as the last strategy',
        )
    if settings.store_kind == "memory":
        yield Finding(
            "wrong",
            "store",
            "it is in the memory of one process, so workers cannot see its runs",
            "set store.url to sqlite:///FILE or postgresql://…",
        )
    elif settings.store_kind == "sqlite" and executor.distributed:
        yield Finding(
            "warning",
            "store",
            "SQLite is one file: all workers must run on this machine",
            "set store.url to postgresql://… for workers on several machines",
        )


def connections(settings: Settings, budget: Budget, *, processes: int) -> Iterator[Finding]:
    """Check that the pools of all processes together fit the database server.

    One start of the executor creates ``processes`` processes.
    """
    allowed, store = budget.server_max, settings.store
    if allowed is None:
        yield Finding("ok", "connections", "no server limits them directly")
        return
    each = store.pool_size + store.max_overflow
    total = processes * each + budget.reserve
    words = (
        f"{count(processes, 'process', 'processes')} × ({store.pool_size} + {store.max_overflow}) "
        f"+ {budget.reserve} reserved = {total}"
    )
    fitting = max(1, (allowed - budget.reserve) // processes)
    fix = f"lower store.pool_size and store.max_overflow to {fitting} together"
    given = reduced_pool_size(allowed - budget.reserve, processes)
    if total <= allowed:
        yield Finding("ok", "connections", f"{words} ≤ {allowed} that the server allows")
    elif store.budget == "shrink" and given:
        text = f"{words} > {allowed}: each pool shrinks to {given}"
        yield Finding("warning", "connections", text, fix)
    else:
        fix = f"{fix}, start fewer processes, or raise the server's max_connections"
        yield Finding("wrong", "connections", f"{words} > {allowed} that the server allows", fix)
    if budget.registered:
        taken = budget.registered + budget.reserve
        fits = taken <= allowed
        yield Finding(
            "ok" if fits else "wrong",
            "connections",
            f"running workers hold {budget.registered} + {budget.reserve} reserved = {taken} "
            f"of {allowed}",
            "" if fits else "stop workers, or raise the server's max_connections",
        )
