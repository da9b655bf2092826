"""Strategies as an author might get them wrong, one fault each, and the right one."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from paceline import Outcome, Permit, Strategy, Work

LIMIT = 2
Wait = asyncio.Future[None]


class Right(Strategy):
    """Two calls per run, first come, first served; the others change a line of it."""

    levels = frozenset({"call"})

    def __init__(self) -> None:
        self.out: defaultdict[str, int] = defaultdict(int)
        self.waits: defaultdict[str, list[Wait]] = defaultdict(list)

    def of(self, work: Work) -> str:
        return work.run_id

    async def admit(self, work: Work) -> Permit:
        if work.level not in self.levels:
            return Permit()
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
    """Who is cancelled in the moment of its turn keeps the permit."""

    def cancelled(self, run: str, turn: Wait) -> None:
        if turn in self.waits[run]:
            self.waits[run].remove(turn)


class RaisesOnCancel(Right):
    """Who is cancelled in its turn passes it on, also to one that was cancelled as well."""

    def leave(self, run: str) -> None:
        self.out[run] -= 1
        if self.waits[run] and self.out[run] < LIMIT:
            self.out[run] += 1
            self.next_turn(run).set_result(None)


class IgnoresCancel(Right):
    """Waits on, whoever cancels it."""

    async def wait(self, run: str) -> None:
        turn: Wait = asyncio.get_running_loop().create_future()
        self.waits[run].append(turn)
        while not turn.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({turn})


class Overruns(Right):
    """Looks, waits a moment, and counts without looking again."""

    async def admit(self, work: Work) -> Permit:
        run = self.of(work)
        if self.out[run] < LIMIT and not self.waits[run]:
            await asyncio.sleep(0)
            self.out[run] += 1
        else:
            await self.wait(run)
        return self.permit(lambda outcome: self.leave(run))


class LosesWakeUps(Right):
    """Who is cancelled in its turn gives the permit back and wakes nobody."""

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
    """Each release of a permit gives one back."""

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
    """A permit of refused work is gone."""

    async def admit(self, work: Work) -> Permit:
        permit = await super().admit(work)

        def unless_refused(outcome: Outcome) -> None:
            if type(outcome).__name__ != "Refused":
                permit.release(outcome)

        return Permit(unless_refused)


class LimitsWhatItDoesNotSay(Right):
    """Says that it limits concepts, limits calls."""

    levels = frozenset({"concept"})

    async def admit(self, work: Work) -> Permit:
        return Permit() if work.level == "concept" else await super().admit(work)


class HoldsUpTheOtherLevel(Right):
    """Counts concepts among its calls."""

    async def admit(self, work: Work) -> Permit:
        return await super().admit(replace(work, level="call"))
