"""`retention.ended_runs`: every worker purges runs that ended long ago."""

import asyncio
import logging

import pytest
from paceline import UsageError
from paceline.contracts.share import Share
from paceline.contracts.storage.records import RunStatus
from paceline.errors import RunInWork, RunNotFound, SettingsError
from paceline.runtime import purging, retention
from paceline.settings.durations import format_duration, parse_duration
from paceline.settings.model import RetentionSettings, Settings
from paceline.testing.contracts.store.inputs import must_claim, submitted
from paceline.testing.virtual_time import virtual_time
from pydantic import ValidationError

from tests.support.memory_worker import Rig, a_roadmap, rig

HOUR = 3600.0
DAY = 24 * HOUR
KEPT = Settings(retention=RetentionSettings(ended_runs=HOUR))


async def ended(it: Rig, name: str, status: RunStatus = "completed") -> str:
    """A run that ends now."""
    run = await submitted(it.store, name)
    claim = await must_claim(it.store, run.run_id)
    await it.store.finish(claim, status)
    return run.run_id


@virtual_time
async def test_a_worker_purges_runs_when_they_are_old_enough(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "paceline.retention")
    async with rig(settings=KEPT) as it:
        await ended(it, "old")
        waiting = await submitted(it.store, "waiting")
        await asyncio.sleep(HOUR / 2)
        young = await ended(it, "young")
        await asyncio.sleep(HOUR / 2 - 10)
        assert len(await it.store.runs()) == 3, "purged too early"
        assert not caplog.messages
        await asyncio.sleep(10 + 1.25 * retention.INTERVAL)
        assert [run.run_id for run in await it.store.runs()] == [young, waiting.run_id]
        assert caplog.messages == ["purged 1 run with 0 artifacts"]


@virtual_time
async def test_a_pass_purges_a_page_and_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (purging, retention):
        monkeypatch.setattr(module, "PAGE", 2)
    async with rig(settings=KEPT) as it:
        for number in range(5):
            await ended(it, f"r{number}")
        await asyncio.sleep(HOUR + 2 * retention.INTERVAL)
        assert await it.store.runs() == []


@virtual_time
async def test_without_the_setting_only_interrupted_purges_are_completed() -> None:
    async with rig() as it:
        kept, hidden = await ended(it, "kept"), await ended(it, "hidden")
        await it.store.hide(hidden)
        await asyncio.sleep(HOUR)
        assert [run.run_id for run in await it.store.runs()] == [kept]
        assert [one.run_id for one in await it.store.purgeable()] == [kept]


@virtual_time
async def test_followers_of_a_purged_run_receive_its_end() -> None:
    async with rig() as it:
        run, _ = await it.client.submit(a_roadmap(2))
        events = it.client.follow(run.run_id)
        assert (await anext(events)).status == "queued"
        await it.client.purge(run.run_id)
        (last,) = [event async for event in events]
        assert (last.terminal, last.status) == (True, "cancelled")
        assert last.reason == "the run was purged"


@virtual_time
async def test_a_client_of_a_tenant_purges_its_own_runs_only() -> None:
    async with rig() as it:
        own = await submitted(it.store, "own", share=Share("acme"))
        other = await submitted(it.store, "other", share=Share("rival"))
        client = it.client.for_tenant("acme")
        with pytest.raises(RunNotFound):
            await client.purge(other.run_id)
        with pytest.raises(UsageError, match="acme"):
            async for _ in client.purge_all(tenant="rival"):
                pass
        with pytest.raises(UsageError, match="tenant or older_than"):
            async for _ in it.client.purge_all():
                pass
        assert [one.run_id async for one in client.purgeable()] == [own.run_id]
        assert [one.run_id async for one in client.purge_all()] == [own.run_id]
        assert [run.run_id for run in await it.store.runs()] == [other.run_id]


@virtual_time
async def test_a_running_run_is_not_purged() -> None:
    async with rig() as it:
        run = await submitted(it.store)
        await must_claim(it.store, run.run_id)
        with pytest.raises(RunInWork, match=r"running: pause or cancel it first"):
            await it.client.purge(run.run_id)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 90 * DAY), ("12h", 43200.0), ("1w", 7 * DAY), ("90", 90.0), ("1.5 h", 5400.0)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("wrong", ["soon", "-5d", "5y", "", 60, "59m", True, float("inf")])
def test_an_age_is_at_least_an_hour(wrong: object) -> None:
    with pytest.raises((ValidationError, SettingsError)):
        RetentionSettings.model_validate({"ended_runs": wrong})
