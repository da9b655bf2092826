"""Random steps of workers on one run, and a model that predicts their effect."""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paceline.contracts.storage.records import (
    Claim,
    ConceptState,
    ConceptStatus,
    Figures,
    ResumeOnly,
    RunStatus,
)
from paceline.contracts.storage.store import Store
from paceline.errors import StaleFence
from paceline.testing.contracts.store.inputs import LEASE, artifact, done, submitted, worker

if TYPE_CHECKING:
    from paceline.testing.contracts.store.base import StoreScenarios

WORKERS = ("a", "b", "c")
workers = st.sampled_from(WORKERS)
claims = st.integers(0, 9)
CONCEPTS = ("c0", "c1", "c2")
concept_ids = st.sampled_from(CONCEPTS)
filters: st.SearchStrategy[ResumeOnly | None] = st.sampled_from([None, "failed", "missing"])


def after_resume(status: ConceptStatus, only: ResumeOnly | None) -> ConceptStatus:
    """The status that a concept must have after its run was resumed."""
    if status == "failed":
        return "failed" if only == "missing" else "pending"
    if status in ("pending", "skipped"):
        return "skipped" if only == "failed" else "pending"
    return status


class Leases(RuleBasedStateMachine):
    """One run with all its claims."""

    def __init__(self, suite: "StoreScenarios") -> None:
        super().__init__()
        self.suite = suite
        self.runner = suite.runner()
        self.opened = AsyncExitStack()
        self.status: RunStatus = "queued"
        self.owner: Claim | None = None
        self.passed = 0.0  # seconds since the lease was last renewed
        self.cancel_requested = False
        self.pause_requested = False
        self.claims: list[Claim] = []
        self.saved: dict[tuple[str, str], str] = {}
        self.saves = 0
        self.concepts: dict[str, ConceptStatus] = dict.fromkeys(CONCEPTS, "pending")
        self.stores: list[Store] = self.run(self.start())

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Run a step on the event loop of this example."""
        return self.runner.run(step)

    async def start(self) -> list[Store]:
        """Submit the run and register the workers."""
        self.suite.opened = self.opened
        stores = await self.suite.processes(2)
        self.run_id = (await submitted(stores[0], "any-order")).run_id
        for name in WORKERS:
            await stores[0].register(worker(name))
        return stores

    @property
    def lapsed(self) -> bool:
        """Whether the lease has expired. The steps themselves take far less time than a jump."""
        return self.passed > LEASE

    def store_of(self, name: str) -> Store:
        """The store of the worker's process."""
        return self.stores[WORKERS.index(name) % 2]

    # -- steps -----------------------------------------------------------------------------

    @rule(name=workers)
    def claim(self, name: str) -> None:
        """A worker tries to claim the run."""
        got = self.run(self.store_of(name).claim(self.run_id, name, lease=LEASE))
        free = self.status == "queued" or (self.status == "running" and self.lapsed)
        if got is None:
            asked = self.cancel_requested or self.pause_requested
            assert not free or asked, f"a claim of a free {self.status} run failed"
            return
        assert free, f"two owners: {name} claimed a {self.status} run, owned by {self.owner}"
        assert not self.cancel_requested, "a run was claimed despite a cancel request"
        assert not self.pause_requested, "a run was claimed despite a pause request"
        fence = max((one.fence for one in self.claims), default=0) + 1
        assert got.fence == fence, f"a claim must have the next fence, {fence}, got {got.fence}"
        self.status, self.owner, self.passed = "running", got, 0.0
        self.claims.append(got)

    @rule(name=workers)
    def renew(self, name: str) -> None:
        """A worker beats and reports the run as its own."""
        beat = self.run(self.store_of(name).beat(name, Figures(runs=(self.run_id,)), lease=LEASE))
        mine = self.owner is not None and self.owner.worker_id == name
        assert beat.lost == (set() if mine else {self.run_id}), (
            f"a beat of {name} must report exactly the runs that it does not own, got {beat.lost}"
        )
        assert beat.cancelled == ({self.run_id} if mine and self.cancel_requested else set())
        assert beat.paused == ({self.run_id} if mine and self.pause_requested else set())
        if mine:
            self.passed = 0.0

    @precondition(lambda self: self.suite.clock)
    @rule(seconds=st.sampled_from([LEASE + 1, LEASE + 1, LEASE + 1, LEASE / 2 + 1]))
    def jump(self, seconds: float) -> None:
        """The clock jumps by more than a lease, or by more than half of one."""
        self.run(self.suite.advance(seconds))
        self.passed += seconds

    @precondition(
        lambda self: (
            self.status in ("queued", "running")
            and not (self.cancel_requested or self.pause_requested)
        )
    )
    @rule(name=workers, heir=workers)
    def outlive(self, name: str, heir: str) -> None:
        """An owner loses the run to another worker, and still tries to save."""
        if self.owner is None:
            self.claim(name)
        first = len(self.claims) - 1
        if self.suite.clock:
            self.jump(LEASE + 1)
        else:
            self.hand_back(first)
        self.claim(heir)
        self.save(first, CONCEPTS[0], "tutorial")

    @precondition(lambda self: self.suite.shared)
    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        """A process is killed, and another one replaces it."""
        self.stores[which] = self.run(self.suite.opened_store())

    @precondition(lambda self: self.claims)
    @rule(which=claims, concept=concept_ids, step=st.sampled_from(["tutorial", "quiz"]))
    def save(self, which: int, concept: str, step: str) -> None:
        """A worker saves an artifact, with a claim that may be an old one."""
        self.saves += 1
        made = artifact(concept, step, content=str(self.saves))
        state = done(made.concept_id)
        if self.writes(which, "save", lambda store, own: store.save(own, made, concept=state)):
            self.saved.setdefault((concept, step), made.content)
            self.concepts[concept] = "completed"

    @precondition(lambda self: self.claims)
    @rule(which=claims, concept=concept_ids)
    def fail(self, which: int, concept: str) -> None:
        """A worker reports a failed concept, with a claim that may be an old one."""
        state = ConceptState(concept_id=concept, status="failed", reason="no")
        if self.writes(which, "save_concept", lambda store, own: store.save_concept(own, state)):
            self.concepts[concept] = "failed"

    @precondition(lambda self: self.claims)
    @rule(which=claims, status=st.sampled_from(["completed", "partial", "failed", "cancelled"]))
    def finish(self, which: int, status: RunStatus) -> None:
        """A worker ends the run, with a claim that may be an old one."""
        own, newest = self.claims[which % len(self.claims)], self.claims[-1]
        if own is newest and self.owner is None and self.status == status:
            return  # a retried commit ends the run again in the same way
        if self.writes(which, "finish", lambda store, own: store.finish(own, status)):
            self.status, self.owner, self.pause_requested = status, None, False

    @precondition(lambda self: self.claims)
    @rule(which=claims)
    def hand_back(self, which: int) -> None:
        """A worker hands the run back, with a claim that may be an old one."""
        own = self.claims[which % len(self.claims)]
        self.run(self.store_of(own.worker_id).hand_back(own))
        if own == self.owner:
            self.queued_again()

    @rule(name=workers)
    def requeue(self, name: str) -> None:
        """A worker finds out that the owner has ended."""
        store = self.store_of(name)
        found = self.run(store.orphans(run_id=self.run_id))
        assert [one.lapsed for one in found] == [self.lapsed] * (self.owner is not None)
        for orphan in found:
            status = self.run(store.requeue_orphan(orphan, poison_after=1000))
            self.queued_again()
            assert status == self.status

    @rule(name=workers)
    def cancel(self, name: str) -> None:
        """A client requests to cancel the run."""
        self.run(self.store_of(name).request_cancel(self.run_id))
        lost = self.status == "running" and self.lapsed
        if self.status in ("queued", "paused") or lost:
            self.status, self.owner, self.cancel_requested = "cancelled", None, True
            self.pause_requested = False
        elif self.status == "running":
            self.cancel_requested = True

    @rule(name=workers)
    def pause(self, name: str) -> None:
        """A client requests to pause the run."""
        self.run(self.store_of(name).request_pause(self.run_id, "by request"))
        if self.status == "queued" or (self.status == "running" and self.lapsed):
            self.status, self.owner, self.pause_requested = "paused", None, False
        elif self.status == "running":
            self.pause_requested = True

    @rule(name=workers, only=filters)
    def reopen(self, name: str, only: ResumeOnly | None) -> None:
        """A client resumes the run."""
        self.run(self.store_of(name).reopen(self.run_id, executor="in-process", only=only))
        if self.status in ("paused", "partial", "failed", "cancelled"):
            self.concepts = {id_: after_resume(old, only) for id_, old in self.concepts.items()}
            self.status, self.cancel_requested = "queued", False

    def writes(
        self, which: int, what: str, write: Callable[[Store, Claim], Awaitable[object]]
    ) -> bool:
        """Write with a claim, and check that only the owner's claim can.

        Returns:
            Whether it wrote.
        """
        own = self.claims[which % len(self.claims)]

        async def step() -> bool:
            try:
                await write(self.store_of(own.worker_id), own)
            except StaleFence:
                return False
            return True

        wrote = bool(self.run(step()))
        assert wrote <= (own == self.owner), (
            f"forgotten fence: `{what}` accepted fence {own.fence} of {own.worker_id}, but the "
            f"owner is {self.owner}"
        )
        assert wrote >= (own == self.owner), f"the owner's `{what}` was refused"
        return wrote

    def queued_again(self) -> None:
        """The run loses its owner. It is cancelled or paused if that was requested."""
        self.status, self.owner = "paused" if self.pause_requested else "queued", None
        if self.cancel_requested:
            self.status = "cancelled"
        self.pause_requested = False

    # -- after each step -------------------------------------------------------------------

    @invariant()
    def every_store_agrees_with_the_model(self) -> None:
        """Every process sees the same status, owner, artifacts and concepts."""
        owner = None if self.owner is None else self.owner.worker_id
        for store in self.stores:
            run = self.run(store.run(self.run_id))
            assert (run.status, run.owner) == (self.status, owner)
            counts = Counter(self.concepts.values())
            assert (run.completed, run.failed) == (counts["completed"], counts["failed"])
            states = self.run(store.concepts(self.run_id))
            assert {one.concept_id: one.status for one in states} == self.concepts
            found = self.run(store.artifacts(self.run_id))
            saved = len(self.saved)
            assert len(found) == saved, f"saved twice, or lost: {saved} saved, {len(found)} found"
            assert {(one.concept_id, one.step): one.content for one in found} == self.saved

    def teardown(self) -> None:
        """Close the stores and the event loop."""
        try:
            self.run(self.opened.aclose())
        finally:
            self.runner.close()
