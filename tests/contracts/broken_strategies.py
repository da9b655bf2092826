"""Strategies with one typical fault each, and a correct one."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable

from paceline import Outcome, Permit, RateLimited, Strategy, Work

LIMIT = 2
Wait = asyncio.Future[None]


class Right(Strategy):
    """Two calls per run, first come, first served. The others change a line of it."""

    levels = frozenset({"call"})

    def __init__(self) -> None:
        self.out: defaultdict[str, int] = defaultdict(int)
        self.waits: defaultdict[str, list[Wait]] = defaultdict(list)

    def of(self, work: Work) -> str:
        return work.run_id

    async def admit(self, work: Work) -> Permit:
        run = self.of(work)
        if self.out[run] < LIMIT and not self.waits[run]:
            self.out[run] += 1
        else:
            await self.wait(run)
        return self.permit(lambda outcome: self.leave(run))

    async def wait(self, run: str) -> None:
        turn: Wait = asyncio.get_running_loop().create_future()
        self.waits[run].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self.cancelled(run, turn)
            raise

    def cancelled(self, run: str, turn: Wait) -> None:
        if turn in self.waits[run]:
            self.waits[run].remove(turn)
        else:
            self.leave(run)

    def permit(self, on_release: Callable[[Outcome], None]) -> Permit:
        return Permit(on_release)

    def leave(self, run: str) -> None:
        self.out[run] -= 1
        while self.waits[run] and self.out[run] < LIMIT:
            turn = self.next_turn(run)
            if not turn.done():
                self.out[run] += 1
                turn.set_result(None)

    def next_turn(self, run: str) -> Wait:
        return self.waits[run].pop(0)


class LeaksOnCancel(Right):
    """A waiter cancelled when it is served keeps the permit."""

    def cancelled(self, run: str, turn: Wait) -> None:
        if turn in self.waits[run]:
            self.waits[run].remove(turn)


class RaisesOnCancel(Right):
    """A waiter cancelled when it is served passes the permit on, even to a cancelled one."""

    def leave(self, run: str) -> None:
        self.out[run] -= 1
        if self.waits[run] and self.out[run] < LIMIT:
            self.out[run] += 1
            self.next_turn(run).set_result(None)


class IgnoresCancel(Right):
    """Ignores cancellation."""

    async def wait(self, run: str) -> None:
        turn: Wait = asyncio.get_running_loop().create_future()
        self.waits[run].append(turn)
        while not turn.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({turn})


class Overruns(Right):
    """Checks the limit, awaits, and counts without checking again."""

    async def admit(self, work: Work) -> Permit:
        run = self.of(work)
        if self.out[run] < LIMIT and not self.waits[run]:
            await asyncio.sleep(0)
            self.out[run] += 1
        else:
            await self.wait(run)
        return self.permit(lambda outcome: self.leave(run))


class LosesWakeUps(Right):
    """A waiter cancelled when it is served frees the permit and wakes no other."""

    def cancelled(self, run: str, turn: Wait) -> None:
        if turn in self.waits[run]:
            self.waits[run].remove(turn)
        else:
            self.out[run] -= 1


class _EveryTime(Permit):
    __slots__ = ("_again",)

    def __init__(self, on_release: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._again = on_release

    def release(self, outcome: Outcome) -> None:
        self._again(outcome)


class ReleasesTwice(Right):
    """Each release of a permit frees one."""

    def permit(self, on_release: Callable[[Outcome], None]) -> Permit:
        return _EveryTime(on_release)


class SharesBetweenRuns(Right):
    """One count for all runs."""

    def of(self, work: Work) -> str:
        return "all"


class Starves(Right):
    """Last come, first served."""

    def next_turn(self, run: str) -> Wait:
        return self.waits[run].pop()


_out: defaultdict[str, int] = defaultdict(int)


class SharesBetweenStrategies(Right):
    """Counts in the module."""

    def __init__(self) -> None:
        super().__init__()
        self.out = _out


class ForgetsRefusals(Right):
    """The permit of refused work is lost."""

    async def admit(self, work: Work) -> Permit:
        permit = await super().admit(work)

        def unless_refused(outcome: Outcome) -> None:
            if not isinstance(outcome, RateLimited):
                permit.release(outcome)

        return Permit(unless_refused)


class DeclaresWrongLevels(Right):
    """Declares that it limits concepts, but limits calls."""

    levels = frozenset({"concept"})


class SharesBetweenLevels(Right):
    """Keeps the default `levels`, and counts concepts and calls together."""

    levels = Strategy.levels
