"""One process's part in finding a limit that all workers share."""

import asyncio
import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Callable

from paceline import Done, Ledger, Outcome, PartUnavailable, RateLimited
from paceline.contracts.ledger import Board
from pydantic import TypeAdapter, ValidationError

from paceline_strategies.limits import Adaptive, Aimd, Period, Times

log = logging.getLogger("paceline.limits")

#: Seconds between two looks of a process, and between two conclusions of all.
_LOOK, _PERIOD = 1.0, 2.0
#: Seconds after a refusal until it is told: those refused with it are told together.
_TOGETHER = 0.2

#: Reasons that are told.
_TOLD = 2

_STATES = TypeAdapter(Adaptive)


class Learner:
    """Counts what becomes of calls, pools it in the ledger, and follows what is concluded.

    Every process adds what it saw to the limit's board; whoever finds a period over, or a
    refusal, lets the arithmetic decide and writes its new state there. So all processes use
    one limit, and none is in charge.

    Args:
        ledger: where the board is.
        name: the limit's name there.
        start: the limit before anything is known, with its bounds.
        out: how many permits are out over all workers.
        busy: whether anything is held or wanted here.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        name: str,
        start: Aimd,
        out: Callable[[], int],
        busy: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._start = start
        self._out = out
        self._busy = busy
        self.limit = Adaptive(load=start)
        self._serial: int = 0
        self._ahead = 0.0  # of the ledger's clock before the loop's
        self._counted: defaultdict[str, float] = defaultdict(float)
        self._in_flight, self._changed = 0, 0.0
        self._refused = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def admitted(self, step: str) -> Callable[[Outcome], None]:
        """A call begins; returns what to tell of its end."""
        cuts, since, out = self.limit.cuts, self._count(1), self._out()
        self._counted["taken"] += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._learn())
            self._task.add_done_callback(self._stopped)

        def ended(outcome: Outcome) -> None:
            now = self._count(-1)
            if isinstance(outcome, RateLimited):
                self._counted["taken"] -= 1
                self._counted[f"{cuts} refused"] += 1
                self._refused.set()
            elif isinstance(outcome, Done):
                self._counted[f"{cuts} answers {step}"] += 1
                self._counted[f"{cuts} seconds {step}"] += now - since
                self._counted[f"{cuts} met"] += (out + self._out()) / 2

        return ended

    def told(self) -> str:
        """The last two changes, the latest first, and how long ago; empty before the first."""
        now = asyncio.get_running_loop().time() + self._ahead
        return ", before: ".join(
            f"{why}, {max(0.0, now - at):.0f} s ago"
            for at, why in reversed(self.limit.reasons[-_TOLD:])
        )

    async def close(self) -> None:
        """Learn no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _count(self, change: int) -> float:
        """Add up the time that calls were in flight; returns the loop's time."""
        now = asyncio.get_running_loop().time()
        self._counted["busy"] += self._in_flight * (now - self._changed)
        self._changed = now
        self._in_flight += change
        return now

    def _stopped(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("limit %s: it stays at %d", self._name, self.limit.limit, exc_info=error)

    async def _learn(self) -> None:
        while self._busy() or self._in_flight:
            try:
                await self._look()
            except PartUnavailable as error:
                log.debug("limit %s: %s", self._name, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._refused.wait()
                    await asyncio.sleep(_TOGETHER)
            self._refused.clear()

    async def _look(self) -> None:
        self._count(0)
        counted, self._counted = self._counted, defaultdict[str, float](float)
        try:
            board = await self._ledger.note(self._name, counted)
        except PartUnavailable:
            for name, amount in counted.items():
                self._counted[name] += amount
            raise
        self._ahead = board.now - asyncio.get_running_loop().time()
        self._follow(board)
        refused = board.totals.get(f"{self.limit.cuts} refused", 0) >= 1
        if not (refused or board.seconds >= _PERIOD or board.serial < self._serial):
            return
        self.limit.observe(self._period(board))
        state = _STATES.dump_json(self.limit).decode()
        if await self._ledger.conclude(self._name, serial=board.serial, state=state):
            self._serial = board.serial + 1
        else:
            self._serial = -1  # somebody else was first: the next look brings theirs

    def _follow(self, board: Board) -> None:
        if board.serial in (0, self._serial):
            return  # nothing new, or the ledger lost it: what we know goes there
        try:
            limit = _STATES.validate_json(board.state)
        except ValidationError as error:
            log.warning("limit %s: its state cannot be read: %s", self._name, error)
            return
        least, most = self._start.least, self._start.most
        limit.load.least, limit.load.most = least, most
        limit.load.size = max(float(least), min(float(most), limit.load.size))
        self.limit, self._serial = limit, board.serial

    def _period(self, board: Board) -> Period:
        cuts, totals = self.limit.cuts, board.totals
        begins = f"{cuts} answers "
        done = {
            step: Times(round(count), totals.get(f"{cuts} seconds {step}", 0.0))
            for step, count in (
                (name.removeprefix(begins), totals[name])
                for name in totals
                if name.startswith(begins)
            )
        }
        answered = sum(times.count for times in done.values())
        return Period(
            now=board.now,
            seconds=board.seconds,
            held=self._out(),
            busy=totals.get("busy", 0.0) / board.seconds if board.seconds > 0 else 0.0,
            taken=max(0, math.floor(totals.get("taken", 0.0))),
            refused=round(totals.get(f"{cuts} refused", 0.0)),
            met=totals.get(f"{cuts} met", 0.0) / max(1, answered),
            done=done,
        )
