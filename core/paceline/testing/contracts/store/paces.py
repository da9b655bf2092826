"""How far runs are, from which their ends are estimated."""

from paceline.contracts.storage.records import RunPace
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import artifact, claimed, done, must_claim, submitted


class StorePaces(StoreScenarios):
    """Artifacts of a claim and what is left, of runs that are queued or running."""

    @scenario
    async def test_the_pace_of_a_run_counts_what_its_claim_made_and_what_is_left(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        total = (await store.run(claim.run_id)).total
        await store.save(claim, artifact("c0"), concept=None)
        await store.save(claim, artifact("c1"), concept=None)
        await store.save(claim, artifact("c1", "quiz"), concept=done("c1"))
        (pace,) = await store.run_paces([claim.run_id, "unknown"])
        assert (pace.run_id, pace.made) == (claim.run_id, 3)
        assert (pace.pending, pace.saved) == (total - 1, 1)
        assert 0 <= pace.seconds < 60

    @scenario
    async def test_the_pace_of_a_claim_does_not_count_what_an_earlier_one_made(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.save(claim, artifact("c0"), concept=None)
        await store.hand_back(claim)
        (queued,) = await store.run_paces([claim.run_id])
        assert (queued.seconds, queued.made, queued.saved) == (0.0, 0, 1)
        again = await must_claim(store, claim.run_id)
        await store.save(again, artifact("c1"), concept=None)
        (pace,) = await store.run_paces([claim.run_id])
        assert (pace.made, pace.saved) == (1, 2)

    @scenario
    async def test_only_queued_and_running_runs_have_a_pace(self) -> None:
        store = await self.opened_store()
        waiting = await submitted(store, "waiting")
        paused = await submitted(store, "paused")
        await store.request_pause(paused.run_id, "by request")
        found = await store.run_paces([waiting.run_id, paused.run_id])
        assert found == [RunPace(run_id=waiting.run_id, pending=waiting.total)]

    @when("clock")
    @scenario
    async def test_the_seconds_of_a_pace_begin_with_the_claim(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        await self.advance(100)
        await must_claim(store, run.run_id)
        await self.advance(7)
        (pace,) = await store.run_paces([run.run_id])
        assert 6.5 <= pace.seconds < 60
