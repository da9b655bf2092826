"""A state machine of writers whose commits fail on order, with a model of what is durable."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Collection, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from paceline.contracts.records import ConceptState
from paceline.errors import PartUnavailable, StaleFence
from paceline.testing.contracts.contract import rounds
from paceline.testing.contracts.store.inputs import artifact, claimed
from paceline_adapters.sql.saves import Save
from paceline_adapters.sql.store import SqlStore

from tests.support.databases import SqlPlace

#: Members of a batch at most, here: so few that writers often need several.
BATCH = 4
CONCEPTS = 12
#: Commits at most that are to fail: the pauses after five are less than two seconds of the
#: thirty that the store tries, so nobody's patience ends before the faults do.
FAULTS = 5
#: Seconds after which a writer waits for ever.
PATIENCE = 60.0

Kind = Literal["good", "stale", "refused"]
#: Where a commit fails: before it took effect, after it did, or because somebody holds a lock;
#: those pass. A full disk does not.
Fault = Literal["cut before", "cut after", "locked", "full"]


@dataclass(slots=True, eq=False)
class Writer:
    """One save: its artifact's content and its concept's attempts are its number."""

    number: int
    concept_id: str
    kind: Kind
    task: asyncio.Task[None]
    cancelled: bool = False
    #: The store was closed, its pump was stopped, or the disk was full while it waited.
    may_fail: bool = False


def sqlite_error(text: str, code: int) -> sqlite3.OperationalError:
    """An error as the driver makes it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Commits(RuleBasedStateMachine):
    """One run in a real database, and many who write to it through one store.

    Args:
        place: the database.
        roadmap_id: a roadmap of which there is no run yet.
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
        #: What was found to be durable, and what must be: concept and its artifact's content.
        self.durable: dict[str, str] = {}
        self.acknowledged: set[str] = set()
        #: Who may have written an artifact of a concept.
        self.tried: dict[str, set[str]] = {}
        self.run(self.begin(roadmap_id))

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(step)

    async def begin(self, roadmap_id: str) -> None:
        self.store = await self.another()
        self.claim = await claimed(self.store, roadmap_id, concepts=CONCEPTS)

    async def another(self) -> SqlStore:
        """The store of one more process, whose commits we command."""
        store = await self.opened.enter_async_context(self.place.store(pool_limit=2))
        assert isinstance(store, SqlStore)
        write, dialect = store._saves._write, store._database._engine.sync_engine.dialect
        commit = dialect.do_commit

        async def counted(batch: Sequence[Save]) -> Collection[int]:
            self.batches.append(len(batch))
            return await write(batch)

        def on_order(connection: Any) -> None:
            fault = self.faults.pop(0) if self.faults else None
            if fault == "cut after":
                commit(connection)
            elif fault is not None:
                dialect.do_rollback(connection)  # as the server does
            if fault in ("cut before", "cut after"):
                raise ConnectionResetError("cut")
            if fault == "locked":
                raise sqlite_error("database is locked", sqlite3.SQLITE_BUSY)
            if fault == "full":
                raise sqlite_error("database or disk is full", sqlite3.SQLITE_FULL)
            commit(connection)

        store._saves._write = counted
        dialect.do_commit = on_order  # type: ignore[assignment, method-assign]
        return store

    # -- steps -----------------------------------------------------------------------------

    @rule(
        kinds=st.lists(
            st.sampled_from(["good", "good", "good", "stale", "refused"]), min_size=1, max_size=9
        ),
        first=st.integers(0, CONCEPTS - 1),
        pause=st.integers(0, 30),
    )
    def write(self, kinds: list[Kind], first: int, pause: int) -> None:
        """Writers come; the next step is so many rounds of the loop later."""

        async def step() -> None:
            for place, kind in enumerate(kinds):
                self.number += 1
                concept_id = f"c{(first + place) % CONCEPTS}"
                claim = self.claim
                if kind == "stale":
                    claim = replace(claim, fence=claim.fence - 1)
                elif kind == "good":
                    self.tried.setdefault(concept_id, set()).add(str(self.number))
                made = artifact(
                    concept_id,
                    content=str(self.number),
                    prompt_tokens=2**70 if kind == "refused" else 1,
                )
                state = ConceptState(concept_id=concept_id, status="completed")
                task = asyncio.create_task(self.store.save(claim, made, concept=state))
                self.writers.append(Writer(self.number, concept_id, kind, task))
            await rounds(pause)

        self.run(step())

    @precondition(lambda self: self.writers)
    @rule(one=st.integers(0, 99), pause=st.integers(0, 30))
    def cancel(self, one: int, pause: int) -> None:
        """Somebody waits no longer."""

        async def step() -> None:
            writer = self.writers[one % len(self.writers)]
            writer.cancelled = True
            writer.task.cancel()
            await rounds(pause)

        self.run(step())

    @rule(
        faults=st.lists(
            st.sampled_from(["cut before", "cut after", "locked", "full"]), min_size=1, max_size=3
        )
    )
    def fail(self, faults: list[Fault]) -> None:
        """The next commits fail."""
        self.faults = [*self.faults, *faults][:FAULTS]
        self.excused = self.excused or "full" in faults

    @precondition(lambda self: self.writers)
    @rule(batches=st.integers(0, 3))
    def stop_the_pump(self, batches: int) -> None:
        """What writes is cancelled, as everything is when a loop is shut down.

        That may be after so many more batches, as between the members of a refused one.
        """

        async def step() -> None:
            pump = self.store._saves._pump
            begun = len(self.batches) + batches
            while pump is not None and not pump.done() and len(self.batches) < begun:
                await rounds(1)
            if pump is not None:
                pump.cancel()
                self.excused = True  # and so is who comes before it has ended

        self.run(step())

    @rule()
    def close(self) -> None:
        """The process closes its store, and its successor opens it."""

        async def step() -> None:
            self.excuse()
            await self.store.close()
            await self.settle()
            async with asyncio.timeout(PATIENCE):
                refused = self.store.save(self.claim, artifact(), concept=None)
                try:
                    await refused
                except PartUnavailable as error:
                    assert "closed" in str(error)
                else:
                    raise AssertionError("a closed store takes a save")
            self.store = await self.another()

        self.run(step())

    @rule()
    def wait(self) -> None:
        """All who came are answered."""
        self.run(self.settle())

    def excuse(self) -> None:
        """Those who wait now may be told that it failed."""
        for writer in self.writers:
            writer.may_fail = True

    # -- what must hold --------------------------------------------------------------------

    async def settle(self) -> None:
        """Nobody waits for ever, and each is told the truth."""
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
        answered, self.writers = self.writers, []
        for writer in answered:
            self.told(writer)
        self.faults.clear()
        assert self.store.pool().in_use == 0, "an idle store holds a connection"

    def told(self, writer: Writer) -> None:
        """What a writer was answered fits what it asked."""
        if writer.task.cancelled():
            assert writer.cancelled or writer.may_fail, "cancelled by nobody"
            return
        error = writer.task.exception()
        if error is None:
            assert writer.kind == "good", f"a {writer.kind} member was acknowledged"
            self.acknowledged.add(writer.concept_id)
        elif writer.kind == "stale":
            assert isinstance(error, StaleFence | PartUnavailable)
            assert isinstance(error, StaleFence) or writer.may_fail
        elif writer.kind == "refused":
            assert not isinstance(error, StaleFence), "refused for another reason"
        else:
            assert writer.may_fail, f"failed for the fault of another: {error!r}"

    @invariant()
    def batches_are_bounded(self) -> None:
        assert max(self.batches, default=0) <= BATCH

    @invariant()
    def what_is_durable_stays_and_is_whole(self) -> None:
        """Seen as another process sees it, while writers write on."""
        if self.writers:
            return  # what they do is not known before they are answered
        self.run(self.look())

    async def look(self) -> None:
        found = await self.store.artifacts(self.claim.run_id)
        contents = {one.concept_id: one.content for one in found}
        twice = [name for name, count in Counter(a.concept_id for a in found).items() if count > 1]
        assert not twice, f"saved twice: {twice}"
        states = await self.store.concepts(self.claim.run_id, status=["completed"])
        assert {one.concept_id for one in states} == set(contents), "half a save"
        assert self.acknowledged <= set(contents), "acknowledged and not durable"
        assert contents.items() >= self.durable.items(), "what was durable changed"
        for concept_id, content in contents.items():
            assert content in self.tried.get(concept_id, ()), "what nobody may write was written"
        self.durable = contents

    def teardown(self) -> None:
        if self.stuck:
            return  # a writer waits however often he is cancelled: his loop cannot be closed
        try:
            self.run(self.settle())
            self.run(self.look())
        finally:
            self.run(self.opened.aclose())
            self.runner.close()
