"""Workers: listed with their figures while they beat, until they deregister."""

from dataclasses import replace

import pytest

from paceline.contracts.identity import ProcessIdentity, this_process
from paceline.contracts.storage.records import Beat, Figures
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import worker


class StoreWorkers(StoreScenarios):
    """Registered workers."""

    @scenario
    async def test_a_registered_worker_is_listed_with_its_record(self) -> None:
        store = await self.opened_store()
        record = replace(
            worker("me", identity=ProcessIdentity("host/1", 4711, 1234.5), pool_max=7),
            concurrency=3,
        )
        await store.register(record)
        (found,) = await store.workers()
        assert 0 <= found.beat_age < 10
        assert replace(found, beat_age=0.0) == record

    @scenario
    async def test_a_beat_reports_figures(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        figures = Figures(
            runs=("a", "b"),
            concepts=5,
            calls=4,
            connections=3,
            events=100,
            events_per_second=2.5,
            strategy="per-roadmap: 5 of 8",
        )
        await store.beat("me", figures, lease=30)
        (found,) = await store.workers()
        assert found.figures == figures

    @when("clock")
    @scenario
    async def test_a_worker_without_beats_is_not_listed(self) -> None:
        store = await self.opened_store()
        await store.register(worker("silent"))
        await self.advance(20)
        await store.register(worker("loud"))
        assert [found.worker_id for found in await store.workers()] == ["loud"]
        aged = {found.worker_id: found.beat_age for found in await store.workers(max_age=60)}
        assert aged["silent"] == pytest.approx(20, abs=10)
        await store.beat("silent", Figures(), lease=30)
        assert len(await store.workers()) == 2

    @scenario
    async def test_a_worker_that_was_killed_on_this_host_is_not_listed(self) -> None:
        mine = this_process()
        killed = replace(mine, started=mine.started - 1000)  # another process has its pid now
        store = await self.opened_store()
        await store.register(worker("killed", identity=killed))
        await store.register(worker("elsewhere", identity=replace(killed, host="elsewhere/1")))
        assert [found.worker_id for found in await store.workers()] == ["elsewhere"]
        assert (await store.budget()).registered == worker("elsewhere").pool_max

    @scenario
    async def test_registering_again_replaces_the_record(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me", pool_max=5))
        await store.register(worker("me", pool_max=9))
        assert [found.pool_max for found in await store.workers()] == [9]

    @scenario
    async def test_a_deregistered_worker_is_not_listed(self) -> None:
        store = await self.opened_store()
        await store.register(worker("me"))
        await store.deregister("me")
        await store.deregister("never-there")
        assert await store.workers(max_age=1e6) == []
        assert await store.beat("me", Figures(), lease=30) == Beat()
        assert await store.workers() == []
