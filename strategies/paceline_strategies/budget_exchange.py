"""One process's side of budgets: it reserves and settles money in batches."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from paceline import PartUnavailable, Work
from paceline.admission.chance import uniform
from paceline.contracts.share import DEFAULT_TENANT
from paceline.contracts.storage.budgets import (
    AccountFigures,
    BudgetLimits,
    BudgetStore,
    MoneyAnswers,
    MoneyRequest,
    MoneySpent,
    Shortage,
)
from paceline.tasks import start_background

log = logging.getLogger("paceline.budget")

#: Maximum number of calls of each kind in one exchange.
_BATCH = 500
#: Bounds of the pause until calls of other processes may have settled, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: Seconds to settle everything on close; what remains counts as reserved.
_CLOSE_TIMEOUT = 5.0


class NoMoney(Exception):
    """A call does not fit a limit, whatever the calls in flight will cost."""

    def __init__(self, shortage: Shortage) -> None:
        super().__init__()
        self.shortage = shortage


@dataclass(slots=True, eq=False)
class _Waiter:
    work: Work
    amount: Callable[[], int]
    answer: asyncio.Future[None]
    low: list[AccountFigures] = field(default_factory=list[AccountFigures])

    def uses(self, figures: AccountFigures) -> bool:
        """Whether the call counts for a limit."""
        work, account = self.work, figures.account
        subject = {"run": work.run_id, "tenant-day": work.tenant or DEFAULT_TENANT}
        return account.subject == subject.get(account.scope, "") and account.key in ("", work.key)


class BudgetExchange:
    """Reserves money for calls, and settles what they cost.

    A single task, the pump, talks to the store. However many calls there are, one exchange runs
    at a time. It contains everything that changed since the last one.

    Args:
        warn: called with each limit of which little is left.
    """

    def __init__(
        self,
        store: BudgetStore,
        limits: BudgetLimits,
        *,
        worker_id: str,
        warn: Callable[[AccountFigures], None],
    ) -> None:
        self._store = store
        self._limits = limits
        self._worker_id = worker_id
        self._warn = warn
        self._prefix = secrets.token_hex(8)
        self._number = 0
        self._waiters: dict[str, _Waiter] = {}
        self._spent: dict[str, MoneySpent] = {}
        self._changed = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of calls that wait for money."""
        return len(self._waiters)

    async def reserve(
        self, work: Work, amount: Callable[[], int]
    ) -> tuple[str, Sequence[AccountFigures]]:
        """Wait until the money of a call is reserved.

        ``amount`` returns nanos. It is called again during the wait.

        Returns:
            The id of the reservation, and limits of which little is left: each is returned to
            one call only.

        Raises:
            NoMoney: the call does not fit a limit.
            PartUnavailable: the store cannot be reached.
        """
        self._number += 1
        id_ = f"{self._prefix}-{self._number}"
        waiter = _Waiter(work, amount, asyncio.get_running_loop().create_future())
        self._waiters[id_] = waiter
        self._wake()
        try:
            await waiter.answer
        except asyncio.CancelledError:
            self.settle(id_, 0)  # it may be reserved already
            raise
        finally:
            self._waiters.pop(id_, None)
        return id_, waiter.low

    def settle(self, id_: str, cost: int | None) -> None:
        """Settle a call at its cost in nanos; ``None`` if it is unknown."""
        self._spent[id_] = MoneySpent(id=id_, cost=cost)
        self._wake()

    async def close(self) -> None:
        """Settle what has ended, and cancel all waiters."""
        for waiter in list(self._waiters.values()):
            waiter.answer.cancel()
        await asyncio.sleep(0)
        if self._pump is not None:
            pump = self._pump
            self._changed.set()
            await asyncio.wait({pump}, timeout=_CLOSE_TIMEOUT)
            pump.cancel()
            await asyncio.wait({pump})

    def _wake(self) -> None:
        self._changed.set()
        if self._pump is None:
            self._pump = start_background(self._run())
            self._pump.add_done_callback(self._ended)

    def _ended(self, pump: "asyncio.Task[None]") -> None:
        self._pump = None
        if pump.cancelled():
            return
        error = pump.exception()
        if error is not None:
            # A bug in the store, not an outage. Waiters must not wait for ever.
            log.error("budget: the store raised an unexpected error", exc_info=error)
            self._fail(error)
        elif self._waiters or self._spent:
            self._wake()  # for changes made while it was ending

    def _fail(self, error: BaseException) -> None:
        for waiter in self._waiters.values():
            if not waiter.answer.done():
                waiter.answer.set_exception(error)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while self._waiters or self._spent:
            await asyncio.sleep(0)  # all changes of this moment go into one exchange
            self._changed.clear()
            try:
                moved = await self._exchange()
            except PartUnavailable as error:
                self._fail(error)
                moved = False
            pause = _FIRST_PAUSE if moved else min(2 * pause, _LONGEST_PAUSE)
            if len(self._spent) and moved:
                continue
            with contextlib.suppress(TimeoutError):
                # With jitter, because many processes may wait for the same money.
                async with asyncio.timeout(pause * uniform(0.8, 1.2)):
                    await self._changed.wait()

    async def _exchange(self) -> bool:
        """Settle and reserve once; returns whether anything changed."""
        spent = list(islice(self._spent.values(), _BATCH))
        asking = {
            id_: waiter
            for id_, waiter in islice(self._waiters.items(), _BATCH)
            if not waiter.answer.done()
        }
        if not spent and not asking:
            return False
        requests = [
            MoneyRequest(
                id=id_,
                run_id=waiter.work.run_id,
                tenant=waiter.work.tenant,
                key=waiter.work.key,
                amount=waiter.amount(),
            )
            for id_, waiter in asking.items()
        ]
        answers = await self._store.exchange_money(
            self._worker_id, self._limits, requests=requests, spent=spent
        )
        for one in spent:
            if self._spent.get(one.id) is one:
                del self._spent[one.id]
        for figures in answers.warnings:
            self._warn(figures)
            # If its call is short instead, the reason of the pause says it.
            for id_, waiter in asking.items():
                if id_ not in answers.short and waiter.uses(figures):
                    waiter.low.append(figures)
                    break
        self._hand_out(asking, answers)
        return bool(spent or answers.granted or answers.short)

    def _hand_out(self, asking: dict[str, _Waiter], answers: MoneyAnswers) -> None:
        for id_, waiter in asking.items():
            if waiter.answer.done():
                continue  # cancelled meanwhile: the cancellation settles it
            if id_ in answers.granted:
                waiter.answer.set_result(None)
            elif id_ in answers.short:
                waiter.answer.set_exception(NoMoney(answers.short[id_]))
