"""When the steps of a run waited, called and were saved."""

from dataclasses import replace
from datetime import UTC

from paceline.contracts.storage.records import ConceptState, Figures, Replaced
from paceline.contracts.storage.timeline import MAX_PHASES, OpenStep, Phase
from paceline.contracts.storage.versions import Revision
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    LEASE,
    artifact,
    charge,
    claimed,
    done,
    must_claim,
    worker,
)

_PHASES = (Phase("waiting", -0.5, 0.5), Phase("refused", 0.0, 0.25), Phase("calling", 0.5, 1.0))


class StoreTimelines(StoreScenarios):
    """Timelines."""

    @scenario
    async def test_a_timeline_has_the_phases_of_each_artifact(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        made = replace(artifact("c1", seconds=1.5, attempts=2), phases=_PHASES)
        await store.save(claim, made, concept=done("c1"))
        await store.save(claim, artifact("c0"), concept=None)
        (one,) = await store.timeline(claim.run_id, concepts=["c1"])
        assert (one.concept_id, one.step, one.saved, one.open) == ("c1", "tutorial", True, False)
        assert (one.seconds, one.attempts, one.version, one.model) == (1.5, 2, 1, "gpt")
        assert one.phases == _PHASES
        assert one.saving >= 0
        assert one.ended_at.tzinfo == UTC
        both = await store.timeline(claim.run_id, concepts=["c0", "c1", "c2"])
        assert {each.concept_id: each.phases for each in both} == {"c0": (), "c1": _PHASES}

    @scenario
    async def test_a_timeline_has_what_failed_until_its_claim_saves_the_artifact(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        spent = replace(charge("c0", attempts=3), seconds=4.5, phases=_PHASES)
        failed = ConceptState(concept_id="c0", status="failed", reason="no")
        await store.save_concept(claim, failed, charge=spent)
        (one,) = await store.timeline(claim.run_id, concepts=["c0"])
        assert (one.saved, one.version, one.attempts, one.seconds) == (False, 0, 3, 4.5)
        assert one.phases == _PHASES
        await store.save(claim, artifact("c0", attempts=4), concept=done())
        (one,) = await store.timeline(claim.run_id, concepts=["c0"])
        assert one.saved

    @scenario
    async def test_a_timeline_has_the_open_steps_of_the_owners_last_beat(self) -> None:
        store = await self.opened_store()
        await store.register(worker())
        claim = await claimed(store)
        step = OpenStep(
            run_id=claim.run_id, concept_id="c2", step="quiz", seconds=2.0, phases=_PHASES
        )
        other = replace(step, run_id="another")
        figures = Figures(runs=(claim.run_id,), open_steps=(step, other))
        await store.beat("worker", figures, lease=LEASE)
        (one,) = await store.timeline(claim.run_id, concepts=["c0", "c1", "c2"])
        assert (one.open, one.saved, one.seconds, one.phases) == (True, False, 2.0, _PHASES)
        assert (await store.workers())[0].figures.open_steps == ()
        await store.finish(claim, "partial")
        assert await store.timeline(claim.run_id, concepts=["c2"]) == []

    @scenario
    async def test_the_phases_of_an_artifact_are_bounded(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        many = tuple(Phase("refused", float(n), 0.5) for n in range(10 * MAX_PHASES))
        await store.save(claim, replace(artifact(), phases=many), concept=None)
        (one,) = await store.timeline(claim.run_id, concepts=["c0"])
        assert len(one.phases) <= MAX_PHASES
        assert await store.timeline("unknown", concepts=["c0"]) == []

    @scenario
    async def test_a_timeline_shows_the_current_version(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        for step in ("tutorial", "quiz"):
            made = replace(artifact("c0", step), phases=_PHASES)
            await store.save(claim, made, concept=done() if step == "quiz" else None)
        await store.finish(claim, "completed")
        wish = Revision(concept_id="c0", step="quiz")
        await store.request_revisions(claim.run_id, [wish], executor="in-process")
        again = await must_claim(store, claim.run_id)
        (request,) = await store.revisions(claim.run_id)
        await store.save(
            again,
            replace(artifact("c0", "quiz"), phases=_PHASES[:1]),
            concept=done(),
            replaced=Replaced(revision=request.number),
        )
        times = await store.timeline(claim.run_id, concepts=["c0"])
        assert {one.step: (one.version, one.phases) for one in times} == {
            "tutorial": (1, _PHASES),
            "quiz": (2, _PHASES[:1]),
        }
