"""The deadline of a run. Its clock stands still while the run only waits for admission."""

import asyncio
import math
from types import TracebackType


class _Count:
    """Adds to the number of working tasks within ``with``."""

    __slots__ = ("_change", "_deadline")

    def __init__(self, deadline: "Deadline", change: int) -> None:
        self._deadline = deadline
        self._change = change

    def __enter__(self) -> None:
        self._deadline.add(self._change)

    def __exit__(self, *_: object) -> None:
        self._deadline.add(-self._change)


class Deadline:
    """Limits the time that a run works: an async context manager, like ``asyncio.timeout``.

    The clock runs while at least one task of the run works. A task works within ``working()``,
    except for the time within ``waiting()``. So a strategy that admits nothing during the day
    does not use up the time of a run.

    Args:
        seconds: maximum number of seconds that the run may work.

    Attributes:
        calls: number of calls that the run has started.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.calls = 0
        self._left = seconds
        self._tasks = 0  # tasks that work now
        self._since = 0.0  # since when the clock runs
        self._timeout = asyncio.timeout(None)
        self._entered = False
        self._working, self._waiting = _Count(self, 1), _Count(self, -1)

    def working(self) -> _Count:
        """Count a task that works within ``with``."""
        return self._working

    def waiting(self) -> _Count:
        """Leave out the time in which a working task waits for admission within ``with``."""
        return self._waiting

    def expired(self) -> bool:
        """Whether the time is used up, so that the run was stopped."""
        return self._timeout.expired()

    async def __aenter__(self) -> None:
        """Start; the clock runs as soon as a task works."""
        await self._timeout.__aenter__()
        self._entered = True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; raise ``TimeoutError`` in place of the cancellation if the time is used up."""
        self._entered = False
        await self._timeout.__aexit__(kind, error, trace)

    def add(self, change: int) -> None:
        """Change the number of working tasks."""
        before, self._tasks = self._tasks, self._tasks + change
        if (before > 0) == (self._tasks > 0) or not self._entered or self.expired():
            return
        now = asyncio.get_running_loop().time()
        if self._tasks > 0:
            self._since = now
            self._timeout.reschedule(now + self._left if self._left < math.inf else None)
        else:
            self._left -= now - self._since
            self._timeout.reschedule(None)
