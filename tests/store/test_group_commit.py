"""Group commit: writers that wait together share a transaction, without a timer."""

import asyncio
from collections.abc import Sequence

import pytest
from paceline.errors import PartUnavailable
from paceline.testing.contracts.store.inputs import artifact, claimed, done
from paceline.testing.virtual_time import real_time, virtual_time
from paceline_adapters.sql.group_commit import BATCH, GroupCommitter
from paceline_adapters.sql.store import SqlStore
from sqlalchemy import event

from tests.support.databases import SqlPlace


class Table:
    """Writes each batch in ``seconds``, and can reject members or fail."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.batches: list[list[int]] = []
        self.failures: list[Exception] = []
        self.rejected: set[int] = set()

    async def write(self, batch: Sequence[int]) -> set[int]:
        await asyncio.sleep(self.seconds)
        if self.failures:
            raise self.failures.pop(0)
        if self.rejected & set(batch):
            raise ValueError("rejected")
        self.batches.append(list(batch))
        return {index for index, member in enumerate(batch) if member < 0}

    def committer(self, patience: float = 30.0) -> GroupCommitter[int]:
        return GroupCommitter(
            self.write,
            transient=lambda error: isinstance(error, OSError),
            rejection=lambda error: isinstance(error, ValueError),
            translate=lambda error: PartUnavailable(f"gone: {error}"),
            patience=patience,
        )


@virtual_time
async def test_a_single_save_is_written_immediately() -> None:
    table = Table()
    assert await table.committer().submit(1)
    assert asyncio.get_running_loop().time() == pytest.approx(1)
    assert table.batches == [[1]]


@virtual_time
async def test_writers_during_a_transaction_share_the_next_one() -> None:
    table = Table()
    committer = table.committer()

    async def later(member: int) -> None:
        await asyncio.sleep(member / 10)
        assert await committer.submit(member)

    await asyncio.gather(*(later(n) for n in range(10)))
    assert table.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert asyncio.get_running_loop().time() == pytest.approx(2)


@virtual_time
async def test_the_size_of_a_batch_is_bounded() -> None:
    table = Table()
    committer = table.committer()
    await asyncio.gather(*(committer.submit(n) for n in range(BATCH + 1)))
    assert [len(batch) for batch in table.batches] == [BATCH, 1]


@virtual_time
async def test_only_stale_members_are_reported_as_left_out() -> None:
    committer = Table().committer()
    assert await asyncio.gather(*(committer.submit(n) for n in (1, -1, 2))) == [
        True,
        False,
        True,
    ]


@virtual_time
async def test_a_transient_fault_is_retried_until_patience_ends() -> None:
    table = Table(seconds=0.0)
    table.failures = [OSError("closed")] * 5
    committer = table.committer()
    assert await committer.submit(1)
    table.failures = [OSError("closed")] * 1000
    started = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(committer.submit(n) for n in (2, 3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["gone: closed", "gone: closed"]
    assert 20 < asyncio.get_running_loop().time() - started <= 30
    table.failures = []
    assert await committer.submit(4)


@virtual_time
async def test_a_rejected_member_fails_alone() -> None:
    table = Table()
    table.rejected = {2}
    committer = table.committer()
    answers = await asyncio.gather(
        *(committer.submit(n) for n in (1, 2, 3)), return_exceptions=True
    )
    assert answers[0] is answers[2] is True
    assert isinstance(answers[1], PartUnavailable)
    assert table.batches == [[1], [3]]


@virtual_time
async def test_a_cancelled_writer_waits_for_its_commit() -> None:
    table = Table()
    task = asyncio.create_task(table.committer().submit(1))
    await asyncio.sleep(0.5)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.1)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert table.batches == [[1]]
    assert asyncio.get_running_loop().time() == pytest.approx(1)


@virtual_time
async def test_a_timeout_around_a_save_still_saves() -> None:
    table = Table()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await table.committer().submit(1)
    assert table.batches == [[1]]


@virtual_time
async def test_closing_completes_pending_members_and_accepts_no_more() -> None:
    table = Table()
    committer = table.committer()
    tasks = [asyncio.create_task(committer.submit(n)) for n in range(BATCH * 2)]
    await asyncio.sleep(0.5)
    await committer.close()
    assert sum(len(batch) for batch in table.batches) == BATCH * 2
    assert all(await asyncio.gather(*tasks))
    with pytest.raises(PartUnavailable, match="closed"):
        await committer.submit(1)


@virtual_time
async def test_no_writer_waits_for_a_task_cancelled_before_its_start() -> None:
    committer = Table().committer()
    task = asyncio.create_task(committer.submit(1))
    await asyncio.sleep(0)
    assert committer._pump is not None
    committer._pump.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await committer.submit(2)


@virtual_time
async def test_no_writer_waits_for_a_rejected_batch_whose_task_is_cancelled() -> None:
    table = Table()
    table.rejected = {2}
    committer = table.committer()
    tasks = [asyncio.create_task(committer.submit(n)) for n in (1, 2, 3)]
    await asyncio.sleep(1.5)  # the batch was rejected, and its first member is being written
    assert committer._pump is not None
    committer._pump.cancel()
    _, waiting = await asyncio.wait(tasks, timeout=60)
    assert not waiting, f"{len(waiting)} writers wait for ever"
    assert await committer.submit(4)


@real_time
async def test_concurrent_saves_share_few_transactions(sql_place: SqlPlace) -> None:
    async with sql_place.store() as store:
        claims = [await claimed(store, f"r{n}", concepts=30) for n in range(6)]
        assert isinstance(store, SqlStore)
        commits: list[object] = []
        event.listen(store._database._engine.sync_engine, "commit", commits.append)
        await asyncio.gather(
            *(
                store.save(claim, artifact(f"c{n}"), concept=done(f"c{n}"))
                for n in range(30)
                for claim in claims
            )
        )
        assert len(commits) <= 2
        await store.save(claims[0], artifact("c0", "quiz"), concept=None)
        await store.save(claims[0], artifact("c1", "quiz"), concept=None)
        assert len(commits) <= 4
        for claim in claims:
            assert (await store.run(claim.run_id)).completed == 30
