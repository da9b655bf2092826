"""Whatever workers do in whatever order: one owner at a time, and nothing saved is lost."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paceline.errors import StaleFence
from paceline.store import Claim, RunStatus, Store
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.memory.store import MemoryStore

from tests.store.places import LEASE, Place, SqlPlace, artifact, done, on_loop, submitted

STEPS = ("tutorial", "resources", "quiz")
workers = st.integers(0, 2)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), workers),
        st.tuples(st.just("save"), workers, st.integers(0, 2), st.sampled_from(STEPS)),
        st.tuples(st.just("finish"), workers, st.sampled_from(["partial", "failed"])),
        st.tuples(st.just("hand back"), workers),
        st.tuples(st.just("requeue"), workers),
        st.tuples(st.just("reopen"), workers),
        st.tuples(st.just("lapse"), workers),
    ),
    max_size=30,
)


@dataclass
class Model:
    """What must be true of one run, kept by the simplest means."""

    status: RunStatus = "queued"
    fence: int = 0
    lapsed: bool = False
    owner: Claim | None = None
    saved: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])


async def play(store: Store, place: Place | None, script: list[tuple[object, ...]]) -> None:
    """Run a script of three workers on a fresh run, and compare with the model after each line."""
    run_id = (await submitted(store, "script")).run_id
    model, claims = Model(), dict[int, Claim]()
    for number, (what, who, *rest) in enumerate(script):
        assert isinstance(who, int)
        claim = claims.get(who)
        if what == "claim":
            # A lease below zero has lapsed as soon as it is given.
            got = await store.claim(run_id, f"w{who}", lease=-1.0 if number % 3 == 0 else LEASE)
            free = model.status == "queued" or (model.status == "running" and model.lapsed)
            assert (got is not None) == free
            if got is not None:
                model.fence += 1
                assert got.fence == model.fence
                model.status, model.owner, model.lapsed = "running", got, number % 3 == 0
                claims[who] = got
        elif what == "save" and claim is not None:
            key = (f"c{rest[0]}", str(rest[1]))
            content = str(number)
            try:
                await store.save(
                    claim, artifact(*key, content=content), concept=done(f"c{rest[0]}")
                )
            except StaleFence:
                assert claim != model.owner
            else:
                assert claim == model.owner
                model.saved.setdefault(key, content)
        elif what == "finish" and claim is not None:
            status: RunStatus = "partial" if rest[0] == "partial" else "failed"
            before = model.status
            try:
                await store.finish(claim, status)
            except StaleFence:
                assert claim != model.owner
            else:
                # Ending it again in the same way is what a retried commit does.
                assert claim == model.owner or (claim.fence, before) == (model.fence, status)
                model.status, model.owner = status, None
        elif what == "hand back" and claim is not None:
            await store.hand_back(claim)
            if claim == model.owner:
                model.status, model.owner = "queued", None
        elif what == "requeue":
            for orphan in await store.orphans(run_id=run_id):
                assert await store.requeue_orphan(orphan, poison_after=1000) == "queued"
                assert model.status == "running"
                model.status, model.owner = "queued", None
        elif what == "reopen":
            await store.reopen(run_id, executor="in-process")
            if model.status in ("partial", "failed"):
                model.status = "queued"
        elif what == "lapse" and place is not None:
            place.advance(LEASE + 1)
            model.lapsed = True
        run = await store.run(run_id)
        assert (run.status, run.fence) == (model.status, model.fence)
        assert run.owner == (None if model.owner is None else model.owner.worker_id)
    found = {(made.concept_id, made.step): made.content for made in await store.artifacts(run_id)}
    assert found == model.saved


@given(operations)
@settings(max_examples=150, deadline=None)
def test_in_memory(script: list[tuple[object, ...]]) -> None:
    run_virtual(play(MemoryStore(), None, script))


@on_loop
async def test_in_databases(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        scripts: list[list[tuple[object, ...]]] = []

        @given(operations)
        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def collect(script: list[tuple[object, ...]]) -> None:
            scripts.append(script)

        collect()
        for script in scripts:
            await play(store, None, script)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_workers_in_any_interleaving_share_runs_without_overlap(
    patience: list[int], seed: int
) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        for n in range(6):
            await submitted(store, f"r{n}")
        owners: dict[str, str] = {}

        async def work(name: str, pauses: int) -> None:
            while (claim := await store.claim_next("in-process", name, lease=LEASE)) is not None:
                assert claim.run_id not in owners
                owners[claim.run_id] = name
                await store.save(claim, artifact(), concept=None)
                await asyncio.sleep(pauses)
                await store.finish(claim, "completed")

        await asyncio.gather(*(work(f"w{n}", pauses) for n, pauses in enumerate(patience)))
        assert len(owners) == 6

    run_virtual(scenario(), seed=seed)
