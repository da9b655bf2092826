"""Writers that wait at the same moment share one transaction.

While one batch is being committed the next one gathers; nobody waits for a timer. A commit
costs the database the same for one row and for hundreds, so under load its cost per row
falls, and idle it adds nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, TypeVar

from paceline import PartUnavailable
from paceline.tasks import start_background

from paceline_adapters.sql.retry import patiently, until_done

M = TypeVar("M")

#: Members of one transaction at most: what a failed one has to do again.
BATCH = 500


class GroupCommitter(Generic[M]):
    """Gathers members and writes them in batches, in the order they came.

    Args:
        write: writes a batch in one transaction; returns the places of the members that it
            left out.
        passing: whether another attempt may succeed after an error of ``write``.
        refusal: whether the error may be the fault of one member, so that each is to be
            tried for itself.
        translate: what the members of a batch that failed for good are told.
        patience: seconds that a batch is tried again.
    """

    def __init__(
        self,
        write: Callable[[Sequence[M]], Awaitable[Collection[int]]],
        *,
        passing: Callable[[BaseException], bool],
        refusal: Callable[[BaseException], bool],
        translate: Callable[[BaseException], BaseException],
        patience: float,
    ) -> None:
        self._write = write
        self._passing = passing
        self._refusal = refusal
        self._translate = translate
        self._patience = patience
        self._waiting: deque[tuple[M, asyncio.Future[bool]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, member: M) -> bool:
        """Write a member; returns when it is committed.

        A caller that is cancelled waits for the commit all the same, and is then cancelled.

        Returns:
            Whether it was written, rather than left out.
        """
        if self._closed:
            raise PartUnavailable("the store is closed")
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((member, future))
        if self._pump is None or self._pump.done():
            self._pump = start_background(self._work())
            # Not a `finally` in the task: one cancelled before its first step runs none.
            self._pump.add_done_callback(self._over)
        await until_done(future)
        return future.result()

    async def close(self) -> None:
        """Write what waits and take no more."""
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
                # Wherever it was cancelled, between two members of a refused batch too, nobody
                # is left to wait. Who was answered is not touched.
                for _, future in batch:
                    future.cancel()

    def _over(self, pump: asyncio.Task[None]) -> None:
        if pump is self._pump:  # else another one has begun, and serves who waits
            self._pump = None
            for _, future in self._waiting:  # only where the task itself was cancelled
                future.cancel()
            self._waiting.clear()

    async def _commit(self, batch: Sequence[tuple[M, asyncio.Future[bool]]]) -> None:
        members = [member for member, _ in batch]
        try:
            left_out = await patiently(
                lambda: self._write(members), patience=self._patience, passing=self._passing
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
            if len(batch) > 1 and self._refusal(error):
                for entry in batch:
                    await self._commit([entry])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(self._translate(error))
        else:
            for place, (_, future) in enumerate(batch):
                if not future.done():
                    future.set_result(place not in left_out)
