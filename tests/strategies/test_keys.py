"""Limits of single models in ``global`` and ``adaptive``."""

import asyncio

import pytest
from paceline import Done, Fatal, Quota, Strategy, Work
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.virtual_time import virtual_time
from paceline_strategies.global_limit import DEFAULT_CONCURRENCY, GlobalOptions

SMALL, LARGE, OTHER = "openai:gpt-4.1-mini", "openai:gpt-4.1", "other:model"


def call(key: str, tokens: int = 0) -> Work:
    return Work(
        level="call",
        run_id="r",
        roadmap_id="r",
        concept_id="c",
        key=key,
        step="quiz",
        tokens=tokens,
    )


def made(name: str, options: dict[str, object], ledger: LeaseLedger | None = None) -> Strategy:
    """The strategy, made as a worker makes it."""
    shared = ledger or LeaseLedger()
    context = Context(settings=Settings(), worker_id="w", ledger=lambda: shared)
    return Plugins().strategy(name).make(options, context, f"strategies.{name}")


async def admitted(strategy: Strategy, key: str, wanted: int) -> int:
    """How many of this number of calls are admitted within a second."""
    calls = [asyncio.create_task(strategy.admit(call(key))) for _ in range(wanted)]
    _, waiting = await asyncio.wait(calls, timeout=1.0)
    for one in waiting:
        one.cancel()
    return wanted - len(waiting)


@virtual_time
async def test_each_key_has_its_own_limits_and_falls_back_option_by_option() -> None:
    ledger = LeaseLedger()
    options: dict[str, object] = {
        "concurrency": 4,
        "keys": {SMALL: {"concurrency": 6}, LARGE: {"requests_per_minute": 6_000}},
    }
    workers = [made("global", options, ledger) for _ in range(2)]
    assert workers[0].rate_limited
    for key, most in ((SMALL, 6), (LARGE, 4), (OTHER, 4)):
        assert await admitted(workers[0], key, most - 1) == most - 1
        assert await admitted(workers[1], key, 5) == 1
    for worker in workers:
        await worker.close()


def test_the_options_of_a_key_replace_the_common_ones() -> None:
    options = GlobalOptions.model_validate(
        {
            "requests_per_minute": 60,
            "keys": {
                SMALL: {"requests_per_minute": 600, "tokens_per_minute": 7},
                LARGE: {"concurrency": 3},
                OTHER: {},
            },
        }
    )
    assert options.quota() == Quota(requests=60)
    assert options.quotas() == {
        SMALL: Quota(requests=600, tokens=7),
        LARGE: Quota(requests=60, concurrency=3),
        OTHER: Quota(requests=60),
    }
    only_keys = GlobalOptions.model_validate({"keys": {SMALL: {"requests_per_minute": 5}}})
    assert only_keys.quota() == Quota(concurrency=DEFAULT_CONCURRENCY)
    assert only_keys.quotas() == {SMALL: Quota(requests=5)}


@virtual_time
async def test_a_call_larger_than_the_quota_of_its_key_names_the_setting_of_that_key() -> None:
    keys = {SMALL: {"tokens_per_minute": 500}, LARGE: {"concurrency": 3}}
    strategy = made("global", {"tokens_per_minute": 1_000, "keys": keys})
    for key, setting in (
        (SMALL, rf'strategies\.global\.keys\."{SMALL}"\.tokens_per_minute = 500'),
        (LARGE, r"strategies\.global\.tokens_per_minute = 1000"),
        (OTHER, r"strategies\.global\.tokens_per_minute = 1000"),
    ):
        with pytest.raises(Fatal, match=setting):
            await strategy.admit(call(key, tokens=1_001))
    (await strategy.admit(call(LARGE, tokens=900))).release(Done())
    await strategy.close()


@virtual_time
async def test_the_explanation_shows_the_limits_of_each_key_before_and_during_use() -> None:
    keys = {SMALL: {"requests_per_minute": 90}, LARGE: {"concurrency": 2}}
    strategy = made("global", {"concurrency": 5, "keys": keys})
    assert strategy.explain() == (
        "5 calls over all workers, 0 held here, 0 waiting; "
        f"{SMALL}: 5 calls, 90 requests a minute; {LARGE}: 2 calls"
    )
    permit = await strategy.admit(call(SMALL))
    assert f"{SMALL}: 5 calls, 90 requests a minute, 1 of 90 requests used;" in strategy.explain()
    permit.release(Done())
    await strategy.close()


@virtual_time
async def test_adaptive_applies_the_bounds_of_each_key() -> None:
    keys = {SMALL: {"start": 3}, LARGE: {"max": 2}, OTHER: {"min": 20}}
    strategy = made("adaptive", {"max": 100, "keys": keys})
    assert strategy.explain() == (
        f"starting with 8 calls; {SMALL}: starting with 3 calls; "
        f"{LARGE}: starting with 2 calls; {OTHER}: starting with 20 calls"
    )
    for key, most in ((SMALL, 3), (LARGE, 2), (OTHER, 20), ("any:other", 8)):
        assert await admitted(strategy, key, 30) == most
    assert f"{LARGE}: 2 calls over all workers, 2 held here" in strategy.explain()
    await strategy.close()
