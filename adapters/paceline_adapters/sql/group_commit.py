"""Group commit: writers that wait at the same moment share one transaction.

While one batch is being committed, the next one gathers. No timer delays a write. A commit costs
the database about the same for one row and for hundreds, so the cost per row falls under load.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, TypeVar

from paceline import PartUnavailable
from paceline.tasks import start_background

from paceline_adapters.sql.retry import retry, until_done

M = TypeVar("M")

#: Maximum number of members of one transaction: bounds what a failed one has to repeat.
BATCH = 500


class GroupCommitter(Generic[M]):
    """Gathers members and writes them in batches, in the order of their arrival.

    Args:
        write: writes a batch in one transaction, and returns the indexes of the members that it
            left out.
        transient: whether another attempt may succeed after an error of ``write``.
        rejection: whether one member may have caused the error. Each member is then written in
            a transaction of its own.
        translate: converts the error of a batch to the error that its writers receive.
        patience: seconds to retry a batch.
    """

    def __init__(
        self,
        write: Callable[[Sequence[M]], Awaitable[Collection[int]]],
        *,
        transient: Callable[[BaseException], bool],
        rejection: Callable[[BaseException], bool],
        translate: Callable[[BaseException], BaseException],
        patience: float,
    ) -> None:
        self._write = write
        self._transient = transient
        self._rejection = rejection
        self._translate = translate
        self._patience = patience
        self._waiting: deque[tuple[M, asyncio.Future[bool]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, member: M) -> bool:
        """Write a member. Returns after the commit.

        If the caller is cancelled, it still waits for the commit before the cancellation is
        raised.

        Returns:
            Whether the member was written, rather than left out.

        Raises:
            PartUnavailable: the committer is closed.
        """
        if self._closed:
            raise PartUnavailable("the store is closed")
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((member, future))
        if self._pump is None or self._pump.done():
            self._pump = start_background(self._work())
            # Not a `finally` in the task: a task that is cancelled before its first step runs none.
            self._pump.add_done_callback(self._ended)
        await until_done(future)
        return future.result()

    async def close(self) -> None:
        """Write pending members and accept no more."""
        self._closed = True
        if self._pump is not None:
            await until_done(self._pump)

    async def _work(self) -> None:
        while self._waiting:
            size = min(BATCH, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                await self._commit(batch)
            finally:
                # If this task is cancelled, no writer is left waiting. This does not change
                # futures that are done.
                for _, future in batch:
                    future.cancel()

    def _ended(self, pump: asyncio.Task[None]) -> None:
        if pump is self._pump:  # else a newer task serves the waiting writers
            self._pump = None
            for _, future in self._waiting:  # not empty only if the task was cancelled
                future.cancel()
            self._waiting.clear()

    async def _commit(self, batch: Sequence[tuple[M, asyncio.Future[bool]]]) -> None:
        members = [member for member, _ in batch]
        try:
            left_out = await retry(
                lambda: self._write(members), patience=self._patience, transient=self._transient
            )
        except Exception as error:  # noqa: BLE001 - any error must reach the waiting writers
            if len(batch) > 1 and self._rejection(error):
                for entry in batch:
                    await self._commit([entry])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(self._translate(error))
        else:
            for index, (_, future) in enumerate(batch):
                if not future.done():
                    future.set_result(index not in left_out)
