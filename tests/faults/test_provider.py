"""A provider that is down, refuses, truncates or stalls: calls wait and are paid once."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from paceline.testing.proxy import Proxy
from paceline.testing.virtual_time import real_time

from tests.support.eventually import eventually_async
from tests.support.real_worker import IMPATIENT, PATIENCE, Working, sqlite, working


@asynccontextmanager
async def behind_a_proxy(
    folder: Path, *, more: Mapping[str, str] | None = None, **llm: Any
) -> AsyncGenerator[tuple[Working, Proxy]]:
    """A worker that reaches the LLM through a proxy."""
    proxies: list[Proxy] = []

    def way(url: str) -> str:
        proxies.append(Proxy.to(url).start())
        return proxies[0].through(url)

    environ = sqlite(folder) | IMPATIENT | dict(more or {})
    try:
        async with working(environ, llm=llm, way=way) as it:
            yield it, proxies[0]
    finally:
        for proxy in proxies:
            proxy.stop()


@real_time(limit=None)
async def test_a_temporary_provider_outage_only_costs_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # With one attempt no concept fails, because a call that never arrives is no attempt.
    more = {"PACELINE_PROVIDER__ATTEMPTS": "1"}
    async with behind_a_proxy(tmp_path, more=more) as (it, proxy):
        proxy.refuse()
        run_id = await it.submit(6)
        await eventually_async(lambda: "trying again for up to" in caplog.text, PATIENCE)
        proxy.heal()
        run = await it.ended(run_id)
        assert (run.status, run.fence) == ("completed", 1)
        assert (it.paid.paid, it.paid.paid_again) == (18, 0)
    assert caplog.text.count("trying again for up to") == 1, "one line for one outage"


@real_time(limit=None)
async def test_a_run_waits_until_a_storm_of_refusals_ends(tmp_path: Path) -> None:
    more = {"PACELINE_STRATEGY": "unbounded"}
    async with behind_a_proxy(tmp_path, more=more, max_concurrency=2) as (it, _):
        run = await it.ended(await it.submit(12))
        assert (run.status, run.failed) == ("completed", 0)
        assert it.paid.refused > 12
        assert (it.paid.paid, it.paid.paid_again) == (36, 0)


@real_time(limit=None)
async def test_only_truncated_answers_are_requested_again(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path) as (it, proxy):
        run_id = await it.submit(6)
        await it.asked(2)
        proxy.cut_answers(after=300)
        cut = proxy.cuts
        await eventually_async(lambda: proxy.cuts >= cut + 5, PATIENCE)
        proxy.heal()
        run = await it.ended(run_id)
        assert (run.status, run.failed) == ("completed", 0)
        assert it.paid.paid_again <= proxy.cuts


@real_time(limit=None)
async def test_an_answer_that_stalls_times_out_and_is_retried(tmp_path: Path) -> None:
    more = {"PACELINE_PROVIDER__TIMEOUT": "0.5"}
    async with behind_a_proxy(tmp_path, more=more) as (it, proxy):
        run_id = await it.submit(4)
        await it.asked(2)
        proxy.throttle(100)
        before = it.paid.requests
        await eventually_async(lambda: it.paid.requests >= before + 6, PATIENCE)
        proxy.heal()
        run = await it.ended(run_id)
        assert (run.status, run.failed) == ("completed", 0)


@real_time(limit=None)
async def test_a_provider_that_stays_down_fails_the_run_with_the_reason(tmp_path: Path) -> None:
    more = {"PACELINE_PROVIDER__PATIENCE": "1"}
    async with behind_a_proxy(tmp_path, more=more) as (it, proxy):
        proxy.refuse()
        run_id = await it.submit(12)
        run = await it.ended(run_id)
        assert run.status == "failed"
        assert "longer than provider.patience" in (run.reason or "")
        assert "cannot be reached" in (run.reason or "")
        states = await it.client.store.concepts(run_id)
        assert {state.status for state in states} == {"pending"}, "the run can be resumed"
