"""One process's part in finding a limit that all workers share."""

import asyncio
import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Callable

from paceline import Done, Ledger, Outcome, PartUnavailable, RateLimited
from paceline.contracts.admission.ledger import SharedCounters
from pydantic import TypeAdapter, ValidationError

from paceline_strategies.limits import Adaptive, Aimd, Period, StepTimes

log = logging.getLogger("paceline.limits")

#: Seconds between two updates of a process, and between two decisions of all processes.
_UPDATE, _PERIOD = 1.0, 2.0
#: Seconds to wait after a refusal, so that one update contains the whole burst.
_BURST = 0.2

#: Reasons that are shown.
_SHOWN = 2

_STATES = TypeAdapter(Adaptive)


class LimitLearner:
    """Counts the outcomes of calls, shares the counts, and applies the common decisions.

    Each process adds its counts to the limit's shared counters. The first process that sees the
    end of a period, or a refusal, computes the new limit and commits it there. So all processes
    use one limit, and none of them is in charge.

    Args:
        start: the initial limit and its bounds.
        permits_out: returns the number of permits out over all workers.
        active: returns whether this process holds permits or has waiters.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        name: str,
        start: Aimd,
        permits_out: Callable[[], int],
        active: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._start = start
        self._permits_out = permits_out
        self._active = active
        self.limit = Adaptive(load=start)
        self._version: int = 0
        self._clock_offset = 0.0  # the ledger's clock minus the loop's
        self._counts: defaultdict[str, float] = defaultdict(float)
        self._in_flight, self._changed_at = 0, 0.0
        self._refused = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def call_started(self, step: str) -> Callable[[Outcome], None]:
        """Count a call that starts. Returns the function to call with its outcome."""
        cuts, since, out = self.limit.cuts, self._count_in_flight(1), self._permits_out()
        self._counts["accepted"] += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._learn())
            self._task.add_done_callback(self._task_ended)

        def call_ended(outcome: Outcome) -> None:
            now = self._count_in_flight(-1)
            if isinstance(outcome, RateLimited):
                self._counts["accepted"] -= 1
                self._counts[f"{cuts} refused"] += 1
                self._refused.set()
            elif isinstance(outcome, Done):
                self._counts[f"{cuts} answers {step}"] += 1
                self._counts[f"{cuts} seconds {step}"] += now - since
                self._counts[f"{cuts} load"] += (out + self._permits_out()) / 2

        return call_ended

    def reasons(self) -> str:
        """The last two changes of the limit and their age, the latest first; empty before any."""
        now = asyncio.get_running_loop().time() + self._clock_offset
        return ", before: ".join(
            f"{why}, {max(0.0, now - at):.0f} s ago"
            for at, why in reversed(self.limit.reasons[-_SHOWN:])
        )

    @property
    def latest_reason(self) -> str:
        """Why the limit has changed the last time; empty before any change."""
        return self.limit.reasons[-1][1] if self.limit.reasons else ""

    async def close(self) -> None:
        """Stop learning."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _count_in_flight(self, change: int) -> float:
        """Add up the time that calls were in flight. Returns the loop's time."""
        now = asyncio.get_running_loop().time()
        self._counts["in flight"] += self._in_flight * (now - self._changed_at)
        self._changed_at = now
        self._in_flight += change
        return now

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "limit %s: learning failed, so the limit stays at %d",
                self._name,
                self.limit.limit,
                exc_info=error,
            )

    async def _learn(self) -> None:
        while self._active() or self._in_flight:
            try:
                await self._update()
            except PartUnavailable as error:
                log.debug("limit %s: %s", self._name, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_UPDATE):
                    await self._refused.wait()
                    await asyncio.sleep(_BURST)
            self._refused.clear()

    async def _update(self) -> None:
        self._count_in_flight(0)
        counts, self._counts = self._counts, defaultdict[str, float](float)
        try:
            counters = await self._ledger.add_counts(self._name, counts)
        except PartUnavailable:
            for name, amount in counts.items():
                self._counts[name] += amount
            raise
        self._clock_offset = counters.now - asyncio.get_running_loop().time()
        self._apply(counters)
        refused = counters.totals.get(f"{self.limit.cuts} refused", 0) >= 1
        lost = counters.version < self._version
        if not (refused or counters.seconds >= _PERIOD or lost):
            return
        self.limit.observe(self._period(counters))
        state = _STATES.dump_json(self.limit).decode()
        version = counters.version
        if await self._ledger.commit_decision(self._name, version=version, state=state):
            self._version = version + 1
        else:
            self._version = -1  # another process was first: the next update applies its decision

    def _apply(self, counters: SharedCounters) -> None:
        if counters.version in (0, self._version):
            return  # no new decision, or the ledger lost them and gets ours
        try:
            limit = _STATES.validate_json(counters.state)
        except ValidationError as error:
            log.warning("limit %s: the stored state is not valid: %s", self._name, error)
            return
        least, most = self._start.least, self._start.most
        limit.load.least, limit.load.most = least, most
        limit.load.size = max(float(least), min(float(most), limit.load.size))
        self.limit, self._version = limit, counters.version

    def _period(self, counters: SharedCounters) -> Period:
        cuts, totals, seconds = self.limit.cuts, counters.totals, counters.seconds
        prefix = f"{cuts} answers "
        answers = {
            step: StepTimes(round(count), totals.get(f"{cuts} seconds {step}", 0.0))
            for step, count in (
                (name.removeprefix(prefix), totals[name])
                for name in totals
                if name.startswith(prefix)
            )
        }
        answered = sum(times.count for times in answers.values())
        return Period(
            now=counters.now,
            seconds=seconds,
            in_flight=self._permits_out(),
            mean_in_flight=totals.get("in flight", 0.0) / seconds if seconds > 0 else 0.0,
            accepted=max(0, math.floor(totals.get("accepted", 0.0))),
            refused=round(totals.get(f"{cuts} refused", 0.0)),
            load=totals.get(f"{cuts} load", 0.0) / max(1, answered),
            answers=answers,
        )
