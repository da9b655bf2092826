"""Saves with unusual text, rejected values and small pools."""

import asyncio

import pytest
from paceline.contracts.storage.records import ConceptState
from paceline.testing.contracts.store.inputs import artifact, claimed, done
from paceline.testing.virtual_time import real_time

from tests.support.databases import SqlPlace


@real_time
async def test_text_that_databases_reject_is_repaired(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        claim = await claimed(store)
        reason = "nul \x00, half a pair \ud83d, a whole one 😀"
        await store.save_concept(
            claim,
            ConceptState(concept_id="c0", status="failed", reason=reason, last_answer=reason),
        )
        state = (await store.concepts(claim.run_id))[0]
        repaired = "nul \ufffd, half a pair \ufffd, a whole one 😀"
        assert (state.reason, state.last_answer) == (repaired, repaired)
        await store.finish(claim, "failed", reason)
        assert (await store.run(claim.run_id)).reason == repaired


@real_time
async def test_a_rejected_value_does_not_affect_other_saves(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        claim = await claimed(store)
        answers = await asyncio.gather(
            store.save(claim, artifact("c0"), concept=done("c0")),
            store.save(claim, artifact("c1", prompt_tokens=2**70), concept=done("c1")),
            store.save(claim, artifact("c2"), concept=done("c2")),
            return_exceptions=True,
        )
        assert [isinstance(answer, Exception) for answer in answers] == [False, True, False]
        assert str(2**70) not in str(answers[1])
        assert set(await store.artifact_steps(claim.run_id)) == {"c0", "c2"}


@real_time
async def test_closing_completes_pending_saves(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        claim = await claimed(store)
        save = asyncio.create_task(store.save(claim, artifact(), concept=None))
        await asyncio.sleep(0)
        await store.close()
        await save
    async with sql_place.store() as store:
        assert len(await store.artifacts(claim.run_id)) == 1


@pytest.mark.parametrize("pool_limit", [1, 2])
@real_time
async def test_180_concurrent_saves_fit_the_pool(sql_place: SqlPlace, pool_limit: int) -> None:
    async with sql_place.store(pool_limit=pool_limit, pool_timeout=60) as store:
        claim = await claimed(store, concepts=180)

        async def concept(name: str) -> None:
            for step in ("tutorial", "resources", "quiz"):
                await store.save(claim, artifact(name, step), concept=None)
            await store.save_concept(claim, done(name))
            await store.run(claim.run_id)

        await asyncio.gather(*(concept(f"c{n}") for n in range(180)))
        assert (await store.run(claim.run_id)).completed == 180
        figures = store.pool()
        assert (figures.limit, figures.in_use) == (pool_limit, 0)
        assert figures.peak <= pool_limit
