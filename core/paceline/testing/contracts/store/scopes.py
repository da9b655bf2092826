"""Runs with a context, and runs of a part of their roadmap that are widened later."""

import asyncio
from typing import Any

import pytest

from paceline.contracts.scope import Scope
from paceline.contracts.storage.records import ConceptStatus, Run
from paceline.contracts.storage.store import Store
from paceline.errors import KeyReused, RunConflict, UsageError
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import artifact, done, must_claim, roadmap

CONTEXT = {"learner": {"level": "beginner", "tags": ["ü 中 😀", "\x00"]}, "hours": 1.5, "new": True}
PART = Scope(steps=("tutorial",), only=("concept:c2",))


async def extended(store: Store, run: Run, scope: Scope, *steps: str, concepts: int = 4) -> Run:
    """Widen the scope of a run."""
    steps = steps or ("tutorial",)
    given: dict[str, Any] = {"executor": "other", "roadmap": roadmap(concepts=concepts)}
    wider = await store.extend(run, scope, steps=steps, **given)
    assert wider is not None
    return wider


async def statuses(store: Store, run: Run) -> dict[str, ConceptStatus]:
    """The concepts of a run in order, with their statuses."""
    return {one.concept_id: one.status for one in await store.concepts(run.run_id)}


class StoreScopes(StoreScenarios):
    """Context and scope of runs."""

    @scenario
    async def test_a_context_is_kept_and_belongs_to_the_identity_of_the_run(self) -> None:
        store = await self.opened_store()
        run, _ = await store.create_run(roadmap(), executor="x", context=CONTEXT)
        assert (await store.run(run.run_id)).context == CONTEXT
        reordered = dict(reversed(CONTEXT.items()))
        assert await store.create_run(roadmap(), executor="x", context=reordered) == (run, False)
        for other in ({}, {**CONTEXT, "hours": 2}):
            with pytest.raises(RunConflict) as refused:
                await store.create_run(roadmap(), executor="x", context=other)
            assert str(refused.value) == (
                f"roadmap 'r' already has a run with another context (run {run.run_id}); "
                "use --adopt to start a new run that takes over unchanged content, or --new"
            )
        newer, created = await store.create_run(roadmap(), executor="x", new=True)
        assert (created, newer.context) == (True, {})

    @scenario
    async def test_a_key_belongs_to_one_context(self) -> None:
        store = await self.opened_store()
        given: dict[str, Any] = {"executor": "x", "new": True, "key": "k"}
        run, _ = await store.create_run(roadmap(), context=CONTEXT, **given)
        again = await store.create_run(roadmap(), context=CONTEXT, scope=PART, **given)
        assert again == (run, False)
        with pytest.raises(KeyReused, match=run.run_id):
            await store.create_run(roadmap(), **given)

    @scenario
    async def test_a_run_has_only_the_concepts_of_its_scope(self) -> None:
        store = await self.opened_store()
        run, _ = await store.create_run(roadmap(concepts=4), executor="x", scope=PART)
        assert (run.total, run.steps, run.only) == (1, ("tutorial",), ("concept:c2",))
        assert await store.run(run.run_id) == run
        assert await statuses(store, run) == {"c2": "pending"}
        assert await store.concept(run.run_id, "c0") is None
        with pytest.raises(UsageError, match="unknown concept 'c9'"):
            await store.create_run(
                roadmap(), executor="x", new=True, scope=Scope(only=("concept:c9",))
            )
        assert len(await store.runs()) == 1

    @scenario
    async def test_a_wider_scope_queues_a_completed_run_for_what_is_missing(self) -> None:
        store = await self.opened_store()
        run, _ = await store.create_run(roadmap(concepts=4), executor="x", scope=PART)
        claim = await must_claim(store, run.run_id)
        await store.save(claim, artifact("c2"), concept=done("c2"))
        assert await store.finish(claim, "completed") == "completed"
        run = await store.run(run.run_id)
        assert await extended(store, run, PART) == run, "nothing is missing"

        whole = Scope(steps=("tutorial",))
        run = await extended(store, run, whole)
        assert (run.status, run.executor, run.total, run.completed) == ("queued", "other", 4, 1)
        assert (run.only, run.finished_at) == ((), None)
        expected: dict[str, ConceptStatus] = dict.fromkeys(("c0", "c1", "c2", "c3"), "pending")
        assert await statuses(store, run) == expected | {"c2": "completed"}
        assert list(await statuses(store, run)) == ["c0", "c1", "c2", "c3"]

        run = await extended(store, run, Scope(steps=("tutorial", "quiz")), "tutorial", "quiz")
        assert (run.steps, run.completed) == (("tutorial", "quiz"), 0)
        assert await statuses(store, run) == expected
        assert len(await store.artifacts(run.run_id)) == 1, "finished artifacts must stay"
        assert await must_claim(store, run.run_id)

    @scenario
    async def test_failed_and_skipped_concepts_keep_their_status(self) -> None:
        store = await self.opened_store()
        run, _ = await store.create_run(roadmap(concepts=4), executor="x", scope=PART)
        claim = await must_claim(store, run.run_id)
        failed = done("c2")
        await store.save_concept(claim, type(failed)(concept_id="c2", status="failed"))
        await store.finish(claim, "failed", "no")
        run = await extended(store, await store.run(run.run_id), Scope(steps=("tutorial",)))
        assert (run.status, run.reason, run.failed, run.total) == ("failed", "no", 1, 4)

    @scenario
    async def test_a_run_that_is_widened_while_it_runs_is_queued_at_its_end(self) -> None:
        store, other = await self.processes(2)
        run, _ = await store.create_run(roadmap(concepts=4), executor="x", scope=PART)
        claim = await must_claim(store, run.run_id)
        run = await extended(other, await other.run(run.run_id), Scope(steps=("tutorial",)))
        assert (run.status, run.total) == ("running", 4)
        await store.save(claim, artifact("c2"), concept=done("c2"))
        ended = await store.finish(claim, "completed", "why")
        assert ended == "queued", (
            f"lost extension: a run that was widened after its claim must be queued, got {ended}"
        )
        run = await store.run(run.run_id)
        assert (run.status, run.reason, run.finished_at) == ("queued", None, None)
        claim = await must_claim(store, run.run_id)
        assert await store.finish(claim, "completed") == "completed", "the new claim knows it"

    @scenario
    async def test_a_cancelled_run_stays_cancelled_although_it_was_widened(self) -> None:
        store = await self.opened_store()
        run, _ = await store.create_run(roadmap(concepts=4), executor="x", scope=PART)
        claim = await must_claim(store, run.run_id)
        await extended(store, await store.run(run.run_id), Scope(steps=("tutorial",)))
        assert await store.finish(claim, "cancelled") == "cancelled"

    @scenario
    async def test_of_two_clients_that_widen_at_once_none_loses_its_part(self) -> None:
        one, two = await self.processes(2)
        run, _ = await one.create_run(roadmap(concepts=4), executor="x", scope=PART)

        async def widen(store: Store, selector: str) -> None:
            wider: Run | None = None
            while wider is None:
                seen = await store.run(run.run_id)
                wider = await store.extend(
                    seen,
                    seen.scope.widened(only=[selector]),
                    executor="x",
                    roadmap=roadmap(concepts=4),
                    steps=["tutorial"],
                )

        await asyncio.gather(widen(one, "concept:c0"), widen(two, "concept:c3"))
        assert list(await statuses(two, run)) == ["c0", "c2", "c3"]
        assert (await one.run(run.run_id)).total == 3
