"""Contradictory settings, and sums of connections that fit or do not fit."""

from collections.abc import Sequence

import pytest
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import Permit, Work
from paceline.contracts.executor import Executor
from paceline.contracts.finding import Finding, ascending
from paceline.contracts.storage.records import Budget
from paceline.doctor import rules
from paceline.generation.strategy_stack import StrategyStack
from paceline.settings.model import Settings


class Queue(Executor):
    """An executor with workers in other processes."""

    async def submit(self, run_id: str) -> None: ...

    def serve(self, *, concurrency: int | None = None) -> int:
        return 0


class Here(Queue):
    """An executor that works in the process of its caller."""

    distributed = False


class Local(Strategy):
    """Limits calls of its own process."""

    async def admit(self, work: Work) -> Permit:
        return Permit()


class Shared(Local):
    """Limits calls of all processes together."""

    shared = True


def levels(findings: Sequence[Finding]) -> list[str]:
    return [one.level for one in findings]


def settings(**sections: object) -> Settings:
    return Settings.model_validate(sections)


def test_the_default_settings_pass_every_check() -> None:
    assert set(levels(list(rules.times(Settings())))) == {"ok"}
    assert (
        list(rules.sharing(Settings(), Here(), StrategyStack([("local", Local())]), live=1)) == []
    )


@pytest.mark.parametrize(("lease", "level"), [(1.5, "wrong"), (2, "wrong"), (4, "warning")])
def test_a_lease_must_outlast_several_heartbeats(lease: float, level: str) -> None:
    found = next(iter(rules.times(settings(run={"lease": lease}))))
    assert (found.level, found.fix) == (level, "set run.lease to 6 or more")


def test_the_timeout_of_an_attempt_must_be_below_the_deadline_of_the_run() -> None:
    slow = settings(provider={"timeout": 100}, run={"deadline": 100})
    wrong, warning = [one for one in rules.times(slow) if one.level != "ok"]
    assert "provider.timeout (100 s) must be shorter than run.deadline (100 s)" in wrong.text
    assert "provider.patience" in warning.text


def test_timeouts_must_increase_and_unset_ones_are_skipped() -> None:
    assert ascending("x", [("a", 1), ("b", None), ("c", 2)]).text == "a 1 s < c 2 s"
    found = ascending("x", [("a", 1), ("b", 3), ("c", 2)])
    assert found.level == "wrong"
    assert found.fix == "raise c above 3, or lower b"


def test_distributed_workers_need_redis() -> None:
    server = settings(store={"url": "postgresql://h/d"})
    [found] = rules.sharing(server, Queue(), None, live=0)
    assert (found.level, found.fix) == ("wrong", "set redis.url")


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("live", [0, 1, 2])
def test_a_shared_limit_cannot_be_counted_in_the_memory_of_each_worker(
    processes: int, live: int
) -> None:
    executor = Here()
    executor.processes = processes
    found = list(rules.sharing(Settings(), executor, StrategyStack([("s", Shared())]), live=live))
    assert levels(found) == (["wrong"] if processes > 1 or live > 1 else [])


def test_resources_cannot_be_counted_in_the_memory_of_each_worker() -> None:
    local = StrategyStack([("local", Local())])
    used = settings(resources={"tavily": {"concurrency": 3}})
    assert not list(rules.sharing(used, Here(), local, live=1))
    [found] = [one for one in rules.sharing(used, Here(), local, live=2) if one.level == "wrong"]
    assert (found.part, found.fix) == ("resources", "set redis.url, or run one worker")


def test_a_limit_per_process_is_reported() -> None:
    shared = settings(redis={"url": "redis://h"}, store={"url": "postgresql://h/d"})
    [found] = rules.sharing(shared, Queue(), StrategyStack([("local", Local())]), live=0)
    assert found.level == "warning"
    assert "global" in found.fix
    assert not list(rules.sharing(shared, Queue(), StrategyStack([("s", Shared())]), live=9))


@pytest.mark.parametrize(
    ("url", "level"), [("memory:", "wrong"), ("sqlite:///x.db", "warning"), ("postgresql://h", "")]
)
def test_a_store_must_be_reachable_by_all_workers(url: str, level: str) -> None:
    reachable = settings(redis={"url": "redis://h"}, store={"url": url})
    found = list(rules.sharing(reachable, Queue(), None, live=0))
    assert levels(found) == ([level] if level else [])


@pytest.mark.parametrize(
    ("processes", "budget", "level", "text"),
    [
        (2, "refuse", "ok", "2 processes × (10 + 20) + 10 reserved = 70 ≤ 100"),
        (3, "refuse", "ok", "3 processes × (10 + 20) + 10 reserved = 100 ≤ 100"),
        (21, "refuse", "wrong", "21 processes × (10 + 20) + 10 reserved = 640 > 100"),
        (21, "shrink", "warning", "each pool shrinks to 2"),
        (91, "shrink", "wrong", "> 100 that the server allows"),
        (1, "refuse", "ok", "1 process × (10 + 20) + 10 reserved = 40 ≤ 100"),
    ],
)
def test_the_pools_of_all_processes_are_added_up(
    processes: int, budget: str, level: str, text: str
) -> None:
    [found] = rules.connections(
        settings(store={"budget": budget}),
        Budget(server_max=100, reserve=10, registered=0),
        processes=processes,
    )
    assert found.level == level
    assert text in found.text
    assert bool(found.fix) == (level != "ok")


def test_running_processes_are_added_up_separately() -> None:
    for registered, level in ((90, "ok"), (91, "wrong")):
        budget = Budget(server_max=100, reserve=10, registered=registered)
        found = list(rules.connections(Settings(), budget, processes=1))
        assert levels(found) == ["ok", level]
        assert f"{registered} + 10 reserved = {registered + 10} of 100" in found[1].text


def test_an_embedded_database_has_no_server_to_exhaust() -> None:
    budget = Budget(server_max=None, reserve=10, registered=500)
    assert levels(list(rules.connections(Settings(), budget, processes=50))) == ["ok"]
