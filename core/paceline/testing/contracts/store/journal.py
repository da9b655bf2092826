"""The journal: results that steps recorded are read back until their artifact is saved."""

import asyncio
from typing import Any

import pytest

from paceline.contracts.storage.records import MAX_JOURNAL_VALUE, JournalEntry, Replaced
from paceline.errors import StaleFence, UsageError
from paceline.testing.contracts.contract import scenario, when
from paceline.testing.contracts.store.base import StoreScenarios, refused
from paceline.testing.contracts.store.inputs import artifact, claimed, done, must_claim


def entry(name: str = "search", **fields: Any) -> JournalEntry:
    """A recorded result."""
    values: dict[str, Any] = {
        "concept_id": "c0",
        "step": "tutorial",
        "version": 1,
        "value": '{"found": [1, 2]}',
    }
    return JournalEntry(name=name, **(values | fields))


class StoreJournal(StoreScenarios):
    """Results of steps, recorded before the artifact."""

    @scenario
    async def test_a_recorded_result_is_read_back_by_every_process(self) -> None:
        one, two = await self.processes(2)
        claim = await claimed(one)
        other = await claimed(one, "other")
        given = [
            entry("search", value='{"text": "ü 中 😀 \\u0000 %s :name \\\\"}'),
            entry("page", version=2),
            entry("search", step="quiz"),
        ]
        for made in given:
            await one.record(claim, made)
        await one.record(claim, entry(concept_id="c1"))
        found = await two.journal(claim.run_id, "c0")
        assert sorted(found, key=str) == sorted(given, key=str)
        assert await two.journal(other.run_id, "c0") == []
        assert await two.journal("nothing", "c0") == []

    @scenario
    async def test_recording_again_changes_nothing(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.record(claim, entry(value="1"))
        await asyncio.gather(*(store.record(claim, entry(value=f"{n}")) for n in range(2, 5)))
        assert await store.journal(claim.run_id, "c0") == [entry(value="1")], (
            "recorded twice: the first result of a name must be kept"
        )

    @scenario
    async def test_a_saved_artifact_replaces_the_journal_of_its_step_only(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        kept = [entry(step="quiz"), entry(concept_id="c1")]
        for made in (entry("a"), entry("b", version=2), *kept):
            await store.record(claim, made)
        await asyncio.gather(
            store.save(claim, artifact("c0"), concept=None, replaced=Replaced(journal=True)),
            store.save(claim, artifact("c2"), concept=done("c2")),
        )
        assert await store.journal(claim.run_id, "c0") == [kept[0]], (
            "stale journal: the commit of an artifact must delete the results of its step only"
        )
        assert await store.journal(claim.run_id, "c1") == [kept[1]]

    @scenario
    async def test_an_artifact_of_a_step_without_a_journal_leaves_other_results(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        await store.record(claim, entry())
        await store.save(claim, artifact("c0"), concept=None)
        assert await store.journal(claim.run_id, "c0") == [entry()]

    @when("clock")
    @scenario
    async def test_the_next_owner_reads_the_journal_and_the_old_one_cannot_add_to_it(self) -> None:
        store = await self.opened_store()
        old = await claimed(store, "r", "slow")
        await store.record(old, entry())
        await self.advance(31)
        new = await must_claim(store, old.run_id)
        await refused(old, "record", store.record(old, entry("late")))
        assert await store.journal(old.run_id, "c0") == [entry()]
        await store.record(new, entry("next"))
        # The stale artifact is refused, and the journal that it would replace stays.
        with pytest.raises(StaleFence):
            await store.save(old, artifact("c0"), concept=None, replaced=Replaced(journal=True))
        assert {one.name for one in await store.journal(old.run_id, "c0")} == {"search", "next"}

    @scenario
    async def test_the_size_of_a_result_is_bounded(self) -> None:
        store = await self.opened_store()
        claim = await claimed(store)
        largest = entry(value="ü" * (MAX_JOURNAL_VALUE // 2))
        await store.record(claim, largest)
        assert await store.journal(claim.run_id, "c0") == [largest]
        with pytest.raises(UsageError, match=r"'big' of step 'tutorial'.* at most 1048576 bytes"):
            entry("big", value="ü" * (MAX_JOURNAL_VALUE // 2) + "x")
