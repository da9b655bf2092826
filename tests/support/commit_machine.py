"""A state machine of writers with failing commits, with a model of what is durable."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Collection, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from paceline.contracts.storage.records import ConceptState
from paceline.errors import PartUnavailable, StaleFence
from paceline.testing.contracts.contract import rounds
from paceline.testing.contracts.store.inputs import artifact, claimed
from paceline_adapters.sql.saves import Save
from paceline_adapters.sql.store import SqlStore

from tests.support.databases import SqlPlace

#: Maximum size of a batch here: small, so that writers often need several batches.
BATCH = 4
CONCEPTS = 12
#: Maximum number of failing commits. The store retries for thirty seconds, and the pauses after
#: five failures take less than two.
FAULTS = 5
#: Seconds after which a writer counts as stuck.
PATIENCE = 60.0

Kind = Literal["good", "stale", "rejected"]
#: How a commit fails: the connection closes before or after it took effect, or another process
#: holds a lock; these are transient. A full disk is not.
Fault = Literal["closed before", "closed after", "locked", "full"]


@dataclass(slots=True, eq=False)
class Writer:
    """One save. The content of its artifact is its number."""

    number: int
    concept_id: str
    kind: Kind
    task: asyncio.Task[None]
    cancelled: bool = False
    #: The store was closed, its task was cancelled, or the disk was full while the writer waited.
    may_fail: bool = False


def sqlite_error(text: str, code: int) -> sqlite3.OperationalError:
    """An error like the driver's."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Commits(RuleBasedStateMachine):
    """One run in a real database, and many writers that use one store.

    Args:
        place: the database.
        roadmap_id: id of a roadmap without a run.
    """

    def __init__(self, place: SqlPlace, roadmap_id: str) -> None:
        super().__init__()
        self.place = place
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.faults: list[Fault] = []
        self.excused = False
        self.batches: list[int] = []
        self.writers: list[Writer] = []
        self.number = 0
        self.stuck = False
        #: Artifacts that were found, and concepts with an acknowledged save.
        self.durable: dict[str, str] = {}
        self.acknowledged: set[str] = set()
        #: Writers that may have written the artifact of a concept.
        self.tried: dict[str, set[str]] = {}
        self.run(self.start(roadmap_id))

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(step)

    async def start(self, roadmap_id: str) -> None:
        self.store = await self.another()
        self.claim = await claimed(self.store, roadmap_id, concepts=CONCEPTS)

    async def another(self) -> SqlStore:
        """The store of one more process, with injected faults at commit."""
        store = await self.opened.enter_async_context(self.place.store(pool_limit=2))
        assert isinstance(store, SqlStore)
        write, dialect = store._saves._write, store._database._engine.sync_engine.dialect
        commit = dialect.do_commit

        async def counted(batch: Sequence[Save]) -> Collection[int]:
            self.batches.append(len(batch))
            return await write(batch)

        def faulty_commit(connection: Any) -> None:
            fault = self.faults.pop(0) if self.faults else None
            if fault == "closed after":
                commit(connection)
            elif fault is not None:
                dialect.do_rollback(connection)  # as the server does
            if fault in ("closed before", "closed after"):
                raise ConnectionResetError("closed")
            if fault == "locked":
                raise sqlite_error("database is locked", sqlite3.SQLITE_BUSY)
            if fault == "full":
                raise sqlite_error("database or disk is full", sqlite3.SQLITE_FULL)
            commit(connection)

        store._saves._write = counted
        dialect.do_commit = faulty_commit  # type: ignore[assignment, method-assign]
        return store

    # -- steps -----------------------------------------------------------------------------

    @rule(
        kinds=st.lists(
            st.sampled_from(["good", "good", "good", "stale", "rejected"]), min_size=1, max_size=9
        ),
        first=st.integers(0, CONCEPTS - 1),
        pause=st.integers(0, 30),
    )
    def write(self, kinds: list[Kind], first: int, pause: int) -> None:
        """Start writers. The next step follows after ``pause`` iterations of the event loop."""

        async def step() -> None:
            for index, kind in enumerate(kinds):
                self.number += 1
                concept_id = f"c{(first + index) % CONCEPTS}"
                claim = self.claim
                if kind == "stale":
                    claim = replace(claim, fence=claim.fence - 1)
                elif kind == "good":
                    self.tried.setdefault(concept_id, set()).add(str(self.number))
                made = artifact(
                    concept_id,
                    content=str(self.number),
                    prompt_tokens=2**70 if kind == "rejected" else 1,
                )
                state = ConceptState(concept_id=concept_id, status="completed")
                task = asyncio.create_task(self.store.save(claim, made, concept=state))
                self.writers.append(Writer(self.number, concept_id, kind, task))
            await rounds(pause)

        self.run(step())

    @precondition(lambda self: self.writers)
    @rule(one=st.integers(0, 99), pause=st.integers(0, 30))
    def cancel(self, one: int, pause: int) -> None:
        """Cancel a writer."""

        async def step() -> None:
            writer = self.writers[one % len(self.writers)]
            writer.cancelled = True
            writer.task.cancel()
            await rounds(pause)

        self.run(step())

    @rule(
        faults=st.lists(
            st.sampled_from(["closed before", "closed after", "locked", "full"]),
            min_size=1,
            max_size=3,
        )
    )
    def fail(self, faults: list[Fault]) -> None:
        """Let the next commits fail."""
        self.faults = [*self.faults, *faults][:FAULTS]
        self.excused = self.excused or "full" in faults

    @precondition(lambda self: self.writers)
    @rule(batches=st.integers(0, 3))
    def cancel_the_pump(self, batches: int) -> None:
        """Cancel the writing task, as the shutdown of a loop does, after ``batches`` more batches.

        This may be between the members of a rejected batch.
        """

        async def step() -> None:
            pump = self.store._saves._pump
            last = len(self.batches) + batches
            while pump is not None and not pump.done() and len(self.batches) < last:
                await rounds(1)
            if pump is not None:
                pump.cancel()
                self.excused = True  # also for writers that start before the task has ended

        self.run(step())

    @rule()
    def close(self) -> None:
        """Close the store, and open it in another process."""

        async def step() -> None:
            self.excuse()
            await self.store.close()
            await self.settle()
            async with asyncio.timeout(PATIENCE):
                try:
                    await self.store.save(self.claim, artifact(), concept=None)
                except PartUnavailable as error:
                    assert "closed" in str(error)
                else:
                    raise AssertionError("a closed store accepts a save")
            self.store = await self.another()

        self.run(step())

    @rule()
    def wait(self) -> None:
        """Wait for all writers."""
        self.run(self.settle())

    def excuse(self) -> None:
        """The waiting writers may fail from now on."""
        for writer in self.writers:
            writer.may_fail = True

    # -- what must hold --------------------------------------------------------------------

    async def settle(self) -> None:
        """Check that no writer is stuck, and that each one got the right result."""
        if self.excused:
            self.excuse()
            self.excused = False
        if self.writers:
            tasks = [writer.task for writer in self.writers]
            _, waiting = await asyncio.wait(tasks, timeout=PATIENCE)
            saves = self.store._saves
            self.stuck = bool(waiting)
            assert not waiting, (
                f"{len(waiting)} writers wait for ever: {saves._pump}, "
                f"{len(saves._waiting)} for the next batch, batches of {self.batches[-5:]}"
            )
        finished, self.writers = self.writers, []
        for writer in finished:
            self.check(writer)
        self.faults.clear()
        assert self.store.pool().in_use == 0, "an idle store holds a connection"

    def check(self, writer: Writer) -> None:
        """Check the result of a writer."""
        if writer.task.cancelled():
            assert writer.cancelled or writer.may_fail, "cancelled without a reason"
            return
        error = writer.task.exception()
        if error is None:
            assert writer.kind == "good", f"a {writer.kind} member was acknowledged"
            self.acknowledged.add(writer.concept_id)
        elif writer.kind == "stale":
            assert isinstance(error, StaleFence | PartUnavailable)
            assert isinstance(error, StaleFence) or writer.may_fail
        elif writer.kind == "rejected":
            assert not isinstance(error, StaleFence), "rejected for another reason"
        else:
            assert writer.may_fail, f"failed because of another writer: {error!r}"

    @invariant()
    def batches_are_bounded(self) -> None:
        assert max(self.batches, default=0) <= BATCH

    @invariant()
    def durable_artifacts_stay_complete(self) -> None:
        """Read the database if no writer is active."""
        if self.writers:
            return  # their results are unknown
        self.run(self.check_database())

    async def check_database(self) -> None:
        found = await self.store.artifacts(self.claim.run_id)
        contents = {one.concept_id: one.content for one in found}
        twice = [name for name, count in Counter(a.concept_id for a in found).items() if count > 1]
        assert not twice, f"saved twice: {twice}"
        states = await self.store.concepts(self.claim.run_id, status=["completed"])
        assert {one.concept_id for one in states} == set(contents), "a save was written in part"
        assert self.acknowledged <= set(contents), "acknowledged and not durable"
        assert contents.items() >= self.durable.items(), "a durable artifact changed"
        for concept_id, content in contents.items():
            assert content in self.tried.get(concept_id, ()), "a rejected artifact was written"
        self.durable = contents

    def teardown(self) -> None:
        if self.stuck:
            return  # a stuck writer cannot be cancelled, so its loop cannot be closed
        try:
            self.run(self.settle())
            self.run(self.check_database())
        finally:
            self.run(self.opened.aclose())
            self.runner.close()
