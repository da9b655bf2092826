"""Workers that claim, renew, lose and write one run in any order, beside a model of its lease."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paceline.contracts.records import Claim, Figures, RunStatus
from paceline.contracts.store import Store
from paceline.errors import StaleFence
from paceline.testing.contracts.store.inputs import LEASE, artifact, done, submitted, worker

if TYPE_CHECKING:
    from paceline.testing.contracts.store.base import StoreScenarios

WORKERS = ("a", "b", "c")
workers = st.sampled_from(WORKERS)
claims = st.integers(0, 9)


class Leases(RuleBasedStateMachine):
    """One run, and all claims that were ever given out on it.

    Args:
        suite: how a store is made and how its time passes.
    """

    def __init__(self, suite: "StoreScenarios") -> None:
        super().__init__()
        self.suite = suite
        self.runner = suite.runner()
        self.opened = AsyncExitStack()
        self.status: RunStatus = "queued"
        self.owner: Claim | None = None
        self.passed = 0.0  # seconds since the lease was last renewed
        self.unwanted = False
        self.claims: list[Claim] = []
        self.saved: dict[tuple[str, str], str] = {}
        self.saves = 0
        self.stores: list[Store] = self.run(self.begin())

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Do a step on the loop of this example."""
        return self.runner.run(step)

    async def begin(self) -> list[Store]:
        """A run that waits, and workers that are known."""
        self.suite.opened = self.opened
        stores = await self.suite.processes(2)
        self.run_id = (await submitted(stores[0], "any-order")).run_id
        for name in WORKERS:
            await stores[0].register(worker(name))
        return stores

    @property
    def lapsed(self) -> bool:
        """Whether the lease has ended. What the steps themselves take is far less than a jump."""
        return self.passed > LEASE

    def store_of(self, name: str) -> Store:
        """The store as the process of a worker sees it."""
        return self.stores[WORKERS.index(name) % 2]

    # -- steps -----------------------------------------------------------------------------

    @rule(name=workers)
    def claim(self, name: str) -> None:
        """A worker wants the run; a lapsed one it takes over."""
        got = self.run(self.store_of(name).claim(self.run_id, name, lease=LEASE))
        free = self.status == "queued" or (self.status == "running" and self.lapsed)
        if got is None:
            assert not free or self.unwanted, f"nobody gets a {self.status} run without an owner"
            return
        assert free, f"two owners: {name} may claim a {self.status} run of {self.owner}"
        assert not self.unwanted, "a run that is to be cancelled was claimed"
        fence = max((one.fence for one in self.claims), default=0) + 1
        assert got.fence == fence, "each claim must have the next fence"
        self.status, self.owner, self.passed = "running", got, 0.0
        self.claims.append(got)

    @rule(name=workers)
    def renew(self, name: str) -> None:
        """A worker beats, and believes that the run is its own."""
        beat = self.run(self.store_of(name).beat(name, Figures(runs=(self.run_id,)), lease=LEASE))
        mine = self.owner is not None and self.owner.worker_id == name
        assert beat.lost == (set() if mine else {self.run_id}), (
            f"a beat of {name} must tell which runs are not its own"
        )
        assert beat.cancelled == ({self.run_id} if mine and self.unwanted else set())
        if mine:
            self.passed = 0.0

    @precondition(lambda self: self.suite.clock)
    @rule(seconds=st.sampled_from([LEASE + 1, LEASE + 1, LEASE + 1, LEASE / 2 + 1]))
    def jump(self, seconds: float) -> None:
        """The clock jumps: over a whole lease, or over so much that the next one ends it."""
        self.run(self.suite.advance(seconds))
        self.passed += seconds

    @precondition(lambda self: self.status in ("queued", "running") and not self.unwanted)
    @rule(name=workers, heir=workers)
    def outlive(self, name: str, heir: str) -> None:
        """An owner sleeps too long, or gives up; another one takes over, and the first goes on."""
        if self.owner is None:
            self.claim(name)
        first = len(self.claims) - 1
        if self.suite.clock:
            self.jump(LEASE + 1)
        else:
            self.hand_back(first)
        self.claim(heir)
        self.save(first, 0, "tutorial")

    @precondition(lambda self: self.suite.shared)
    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        """A process dies without a word, and another one comes in its place."""
        self.stores[which] = self.run(self.suite.opened_store())

    @precondition(lambda self: self.claims)
    @rule(which=claims, concept=st.integers(0, 2), step=st.sampled_from(["tutorial", "quiz"]))
    def save(self, which: int, concept: int, step: str) -> None:
        """Somebody saves an artifact, with a claim that may be an old one."""
        self.saves += 1
        made = artifact(f"c{concept}", step, content=str(self.saves))
        state = done(made.concept_id)
        if self.writes(which, "save", lambda store, own: store.save(own, made, concept=state)):
            self.saved.setdefault((made.concept_id, step), made.content)

    @precondition(lambda self: self.claims)
    @rule(which=claims, status=st.sampled_from(["completed", "partial", "failed", "cancelled"]))
    def finish(self, which: int, status: RunStatus) -> None:
        """Somebody ends the run, with a claim that may be an old one."""
        own, newest = self.claims[which % len(self.claims)], self.claims[-1]
        if own is newest and self.owner is None and self.status == status:
            return  # to end it again in the same way is what a retried commit does
        if self.writes(which, "finish", lambda store, own: store.finish(own, status)):
            self.status, self.owner = status, None

    @precondition(lambda self: self.claims)
    @rule(which=claims)
    def hand_back(self, which: int) -> None:
        """Somebody gives the run up, with a claim that may be an old one."""
        own = self.claims[which % len(self.claims)]
        self.run(self.store_of(own.worker_id).hand_back(own))
        if own == self.owner:
            self.queued_again()

    @rule(name=workers)
    def requeue(self, name: str) -> None:
        """A worker found out that the owner is gone."""
        store = self.store_of(name)
        found = self.run(store.orphans(run_id=self.run_id))
        assert [one.lapsed for one in found] == [self.lapsed] * (self.owner is not None)
        for orphan in found:
            status = self.run(store.requeue_orphan(orphan, poison_after=1000))
            self.queued_again()
            assert status == self.status

    @rule(name=workers)
    def cancel(self, name: str) -> None:
        """Somebody asks to cancel it."""
        self.run(self.store_of(name).request_cancel(self.run_id))
        if self.status == "queued" or (self.status == "running" and self.lapsed):
            self.status, self.owner, self.unwanted = "cancelled", None, True
        elif self.status == "running":
            self.unwanted = True

    @rule(name=workers)
    def reopen(self, name: str) -> None:
        """Somebody wants what is missing."""
        self.run(self.store_of(name).reopen(self.run_id, executor="in-process"))
        if self.status in ("partial", "failed", "cancelled"):
            self.status, self.unwanted = "queued", False

    def writes(
        self, which: int, what: str, write: Callable[[Store, Claim], Awaitable[None]]
    ) -> bool:
        """Whether a claim could write, which only the owner's may."""
        own = self.claims[which % len(self.claims)]

        async def step() -> bool:
            try:
                await write(self.store_of(own.worker_id), own)
            except StaleFence:
                return False
            return True

        wrote = bool(self.run(step()))
        assert wrote <= (own == self.owner), (
            f"forgotten fence: `{what}` went through with fence {own.fence} of {own.worker_id}, "
            f"but the owner is {self.owner}"
        )
        assert wrote >= (own == self.owner), f"the owner's `{what}` was refused"
        return wrote

    def queued_again(self) -> None:
        """It has no owner now, unless somebody wants it no more."""
        self.status, self.owner = "cancelled" if self.unwanted else "queued", None

    # -- what must hold after each ---------------------------------------------------------

    @invariant()
    def it_stands_where_the_model_says(self) -> None:
        """Status, owner and artifacts, as every process sees them."""
        owner = None if self.owner is None else self.owner.worker_id
        for store in self.stores:
            run = self.run(store.run(self.run_id))
            assert (run.status, run.owner) == (self.status, owner)
            found = self.run(store.artifacts(self.run_id))
            assert len(found) == len(self.saved), "saved twice, or lost"
            assert {(one.concept_id, one.step): one.content for one in found} == self.saved

    def teardown(self) -> None:
        """Close what was opened."""
        try:
            self.run(self.opened.aclose())
        finally:
            self.runner.close()
