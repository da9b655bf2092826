"""Searching runs page by page."""

from datetime import UTC, datetime, timedelta

from paceline.contracts.identity import run_id_bits
from paceline.contracts.share import Share
from paceline.contracts.storage.run_search import RunSearch
from paceline.contracts.storage.store import Store
from paceline.testing.contracts.contract import scenario
from paceline.testing.contracts.store.base import StoreScenarios
from paceline.testing.contracts.store.inputs import artifact, ids, must_claim, roadmap, submitted


async def _titled(store: Store, roadmap_id: str, title: str, tenant: str = "") -> str:
    run, _ = await store.create_run(
        roadmap(roadmap_id, title=title), executor="in-process", share=Share(tenant)
    )
    return run.run_id


def run_id_time(run_id: str) -> datetime:
    """When the id was made, in whole milliseconds."""
    bits = run_id_bits(run_id)
    assert bits is not None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=bits >> 80)


class StoreSearches(StoreScenarios):
    """Searches for runs."""

    @scenario
    async def test_runs_are_found_by_title_roadmap_and_id(self) -> None:
        store = await self.opened_store()
        rust = await _titled(store, "systems-1", "Systems in Rust 100 %")
        other = await _titled(store, "web_2", "Ünïcode and the Web")
        for text, expected in (
            ("RUST", [rust]),
            ("100 %", [rust]),
            ("_2", [other]),
            ("ÜNÏ", [other]),
            (rust, [rust]),
            ("web", [other]),
            ("nothing", []),
            ("", [other, rust]),
        ):
            found = await store.find_runs(RunSearch(text=text))
            assert ids(found.runs) == expected, text

    @scenario
    async def test_a_search_is_read_in_pages_in_both_orders(self) -> None:
        store = await self.opened_store()
        made = [await _titled(store, f"r{n}", f"Learn {n}") for n in range(5)]
        for oldest_first, expected in ((False, made[::-1]), (True, made)):
            for text in ("", "learn"):
                found: list[str] = []
                cursor: str | None = None
                for _ in range(4):
                    page = await store.find_runs(
                        RunSearch(text=text, oldest_first=oldest_first), limit=2, after=cursor
                    )
                    found += ids(page.runs)
                    cursor = page.cursor
                    if cursor is None:
                        break
                assert (found, cursor) == (expected, None)

    @scenario
    async def test_conditions_of_a_search_are_combined(self) -> None:
        store = await self.opened_store()
        mine = await _titled(store, "a", "Learn", tenant="acme")
        gone = await _titled(store, "b", "Learn", tenant="acme")
        await _titled(store, "c", "Learn", tenant="other")
        await store.request_cancel(gone)
        search = RunSearch(text="learn", tenants=("acme",), status=("queued", "running"))
        assert ids((await store.find_runs(search)).runs) == [mine]
        search = RunSearch(tenants=("acme", "other"), status=("queued", "cancelled"))
        assert len((await store.find_runs(search)).runs) == 3
        assert ids((await store.find_runs(RunSearch(roadmap_id="b"))).runs) == [gone]

    @scenario
    async def test_runs_are_found_by_the_time_of_their_submission(self) -> None:
        store = await self.opened_store()
        run = await submitted(store)
        made_at = run_id_time(run.run_id)
        second = timedelta(seconds=1)
        for since, until, expected in (
            (made_at, made_at + second, [run.run_id]),
            (made_at + second, None, []),
            (None, made_at, []),
            (made_at - second, None, [run.run_id]),
        ):
            found = await store.find_runs(RunSearch(since=since, until=until))
            assert ids(found.runs) == expected

    @scenario
    async def test_totals_have_the_artifacts_and_the_cost_of_each_run(self) -> None:
        store = await self.opened_store()
        empty = await submitted(store)
        run = await submitted(store)
        claim = await must_claim(store, run.run_id)
        await store.save(claim, artifact("c0", cost=0.25), concept=None)
        await store.save(claim, artifact("c1", cost=0.5), concept=None)
        found = await store.find_runs(RunSearch(), totals=True)
        assert {one: (each.artifacts, each.spent.cost) for one, each in found.totals.items()} == {
            empty.run_id: (0, None),
            run.run_id: (2, 0.75),
        }
        assert (await store.find_runs(RunSearch())).totals == {}
