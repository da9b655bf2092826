"""Runs: one per content of a roadmap, listed by pages."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paceline.contracts.share import Share
from paceline.contracts.storage.records import ConceptState
from paceline.contracts.storage.spending import RunSpending
from paceline.errors import KeyReused, RunConflict, RunNotFound
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import (
    artifact,
    claimed,
    done,
    ids,
    must_claim,
    roadmap,
    submitted,
)


class StoreRuns(StoreScenarios):
    """Runs before a worker claims them."""

    @scenario
    async def test_an_existing_database_opens_without_creating_one(self) -> None:
        run = await submitted(await self.opened_store())
        other = self.store()
        await other.open(create=False)
        self.opened.push_async_callback(other.close)
        if self.shared:
            assert await other.run(run.run_id) == run

    @scenario
    async def test_a_new_run_is_queued_and_shows_its_roadmap(self) -> None:
        store = await self.opened_store()
        run, created = await store.create_run(roadmap(concepts=4), executor="celery")
        assert created
        assert (run.status, run.executor, run.roadmap_id, run.title) == (
            "queued",
            "celery",
            "r",
            "Learn",
        )
        assert (run.total, run.completed, run.failed, run.fence, run.takeovers) == (4, 0, 0, 0, 0)
        assert run.content_hash == roadmap(concepts=4).content_hash()
        unset = (run.owner, run.started_at, run.finished_at, run.reason)
        assert unset == (None, None, None, None)
        assert run.created_at.tzinfo == UTC
        assert abs(run.created_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert await store.run(run.run_id) == run

    @scenario
    async def test_a_run_keeps_the_share_that_it_was_submitted_with(self) -> None:
        store = await self.opened_store()
        share = Share("acme", 2.5)
        run, _ = await store.create_run(roadmap(), executor="in-process", share=share)
        again, created = await store.create_run(
            roadmap(), executor="in-process", share=Share("acme")
        )
        assert not created
        claim = await must_claim(store, run.run_id)
        shares = [one.share for one in (run, again, await store.run(run.run_id), claim)]
        assert shares == [share] * 4
        plain, _ = await store.create_run(roadmap(), executor="in-process", new=True)
        assert plain.share == Share()

    @scenario
    async def test_the_same_content_finds_its_run_and_changed_content_is_refused(self) -> None:
        store = await self.opened_store()
        run, _ = await store.create_run(roadmap(), executor="in-process")
        assert await store.create_run(roadmap(), executor="celery") == (run, False)
        with pytest.raises(RunConflict) as refused:
            await store.create_run(roadmap(title="Other"), executor="in-process")
        assert str(refused.value) == (
            f"roadmap 'r' already has a run with other content (run {run.run_id}); "
            "use --adopt to start a new run that takes over unchanged content, or --new"
        )
        newer, created = await store.create_run(
            roadmap(title="Other"), executor="in-process", new=True
        )
        assert created
        assert await store.create_run(roadmap(title="Other"), executor="x") == (newer, False)
        with pytest.raises(RunConflict, match=newer.run_id):
            await store.create_run(roadmap(), executor="in-process")

    @scenario
    async def test_concurrent_submissions_share_one_run(self) -> None:
        one, two, three = await self.processes(3)
        answers = await asyncio.gather(
            *(store.create_run(roadmap(), executor="x") for store in (one, two, three) * 3)
        )
        assert len({run.run_id for run, _ in answers}) == 1
        assert [created for _, created in answers].count(True) == 1
        assert len(await one.runs()) == 1

    @scenario
    async def test_concurrent_submissions_of_new_runs_create_one_run_each(self) -> None:
        one, two = await self.processes(2)
        answers = await asyncio.gather(
            *(store.create_run(roadmap(), executor="x", new=True) for store in (one, two) * 4)
        )
        assert len({run.run_id for run, created in answers if created}) == 8

    @scenario
    async def test_a_submission_sent_again_under_its_key_is_the_same_run(self) -> None:
        store = await self.opened_store()
        run, created = await store.create_run(roadmap(), executor="x", new=True, key="k")
        assert created
        newer, _ = await store.create_run(roadmap(), executor="x", new=True, key="other")
        assert newer.run_id != run.run_id
        assert await store.create_run(roadmap(), executor="x", new=True, key="k") == (run, False)
        with pytest.raises(KeyReused, match=run.run_id):
            await store.create_run(roadmap(title="Other"), executor="x", new=True, key="k")
        for share in (Share("acme"), Share(weight=2.0)):
            with pytest.raises(KeyReused, match=run.run_id):
                await store.create_run(roadmap(), executor="x", new=True, key="k", share=share)
        assert ids(await store.runs()) == [newer.run_id, run.run_id], "nothing more was created"

    @scenario
    async def test_submissions_of_one_key_that_come_at_once_are_one_run(self) -> None:
        one, two, three = await self.processes(3)
        answers = await asyncio.gather(
            *(
                store.create_run(roadmap(), executor="x", new=True, key="k")
                for store in (one, two, three) * 3
            )
        )
        assert len({run.run_id for run, _ in answers}) == 1
        assert [created for _, created in answers].count(True) == 1
        assert len(await one.runs()) == 1

    @scenario
    async def test_concepts_and_their_artifacts_can_be_asked_for_by_pages(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, concepts=5)
        await store.save(claim, artifact("c1"), concept=done("c1"))
        await store.save(claim, artifact("c3"), concept=done("c3"))

        async def page(after: str | None, **asked: Any) -> list[str]:
            found = await store.concepts(claim.run_id, after=after, **asked)
            return [one.concept_id for one in found]

        assert await page(None, limit=2) == ["c0", "c1"]
        assert await page("c1", limit=2) == ["c2", "c3"]
        assert await page("c4", limit=2) == []
        assert await page("c1", limit=2, status=["completed"]) == ["c3"]
        assert await page("nothing", limit=2) == []
        steps = await store.artifact_steps(claim.run_id, concepts=["c0", "c1"])
        assert list(steps) == ["c1"]
        assert await store.artifact_steps(claim.run_id, concepts=[]) == {}
        assert await store.concept(claim.run_id, "c1") == done("c1")
        assert await store.concept(claim.run_id, "nothing") is None
        assert await store.concept("nothing", "c1") is None

    @scenario
    async def test_a_roadmap_comes_back_with_its_unknown_fields(self) -> None:
        store = await self.opened_store()
        given = roadmap(title="Zeichen: ü 中 😀 \\ ' \" %s")
        run, _ = await store.create_run(given, executor="x")
        found = await store.roadmap(run.run_id)
        assert found == given
        assert found.content_hash() == run.content_hash

    @scenario
    async def test_an_unknown_run_is_an_error_that_names_it(self) -> None:
        store = await self.opened_store()
        for call in (
            store.run("nope"),
            store.roadmap("nope"),
            store.concepts("nope"),
            store.reopen("nope", executor="x"),
            store.request_cancel("nope"),
            store.request_pause("nope", "why"),
        ):
            with pytest.raises(RunNotFound, match="'nope'"):
                await call
        assert await store.claim("nope", "worker", lease=30) is None
        assert await store.artifacts("nope") == []
        assert await store.artifact_steps("nope") == {}
        assert await store.spending("nope") == RunSpending()
        assert await store.orphans(run_id="nope") == []

    @scenario
    async def test_concepts_are_pending_at_first_and_in_the_roadmaps_order(self) -> None:
        store = await self.opened_store()
        run, _ = await store.create_run(roadmap(concepts=12), executor="x")
        assert await store.concepts(run.run_id) == [
            ConceptState(concept_id=f"c{n}", status="pending") for n in range(12)
        ]

    @scenario
    async def test_concepts_are_listed_by_status(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, concepts=4)
        failed = ConceptState(concept_id="c1", status="failed", reason="why")
        await store.save_concept(claim, failed)
        await store.save_concept(claim, done("c3", attempts=0))
        assert await store.concepts(claim.run_id, status=["completed", "failed"]) == [
            failed,
            done("c3", attempts=0),
        ]
        assert await store.concepts(claim.run_id, status=["failed"]) == [failed]
        with pytest.raises(RunNotFound):
            await store.concepts("nope", status=["failed"])

    @scenario
    async def test_runs_are_listed_newest_first_and_by_pages(self) -> None:
        store = await self.opened_store()
        made = [(await submitted(store, f"r{n % 2}")).run_id for n in range(5)]
        newest_first = made[::-1]
        assert ids(await store.runs()) == newest_first
        assert ids(await store.runs(limit=2)) == newest_first[:2]
        assert ids(await store.runs(limit=2, before=newest_first[1])) == newest_first[2:4]
        assert await store.runs(before=made[0]) == []
        assert ids(await store.runs(roadmap_id="r1")) == [made[3], made[1]]

    @scenario
    async def test_runs_are_listed_by_any_of_several_states(self) -> None:
        store = await self.opened_store()
        queued, running, ended, cancelled = [
            (await submitted(store, f"r{n}")).run_id for n in range(4)
        ]
        await must_claim(store, running)
        await store.finish(await must_claim(store, ended), "completed")
        await store.request_cancel(cancelled)
        assert ids(await store.runs(status=["completed", "queued"])) == [ended, queued]
        assert ids(await store.runs(status=["running"])) == [running]
        assert ids(await store.runs(status=["running", "cancelled"], limit=1)) == [cancelled]
        assert ids(await store.runs(status=["running", "cancelled"], before=cancelled)) == [running]
        assert ids(await store.runs(status=["queued"], roadmap_id="r1")) == []

    @scenario
    async def test_a_run_counts_its_concepts(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store, "a", concepts=4)
        other = await claimed(store, "b")
        await store.save(claim, artifact("c0"), concept=done("c0"))
        await store.save(claim, artifact("c1"), concept=None)
        await store.save_concept(claim, ConceptState(concept_id="c2", status="failed"))
        run = await store.run(claim.run_id)
        assert (run.total, run.completed, run.failed, run.finished) == (4, 1, 1, 2)
        listed = {run.run_id: (run.completed, run.failed) for run in await store.runs()}
        assert listed == {claim.run_id: (1, 1), other.run_id: (0, 0)}
