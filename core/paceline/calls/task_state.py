"""The state of a concept's task: resting, when it may be stopped, or in a call."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from paceline.calls.deadline import Deadline
from paceline.contracts.telemetry import OFF, Gauges, Telemetry


@dataclass(slots=True)
class TaskState:
    """What the pipeline knows of a concept's task, and of the tasks that its steps start.

    ``queue`` is held until the first call; it limits how many concepts wait for one. A task is
    *resting* while it waits for admission or between attempts: stopping it then loses nothing.
    After ``drain`` no further call may start. The ``deadline`` is that of the run. Its clock runs
    while the concept works: a call is in flight, or nothing of it waits for admission. ``notify``
    publishes a note of the run.
    """

    gauges: Gauges
    queue: asyncio.Semaphore | None
    telemetry: Telemetry = OFF
    deadline: Deadline = field(default_factory=Deadline)
    drained: bool = False
    notify: Callable[[str], None] = lambda _: None
    _resting: set[asyncio.Task[object]] = field(default_factory=set[asyncio.Task[object]])
    _started: bool = False
    _waiting: int = 0
    _in_flight: int = 0
    _works: bool = False

    def rest(self, task: "asyncio.Task[object] | None" = None) -> None:
        """Mark a task as resting: the current one, unless it is given.

        Raises:
            asyncio.CancelledError: no further call may start.
        """
        if self.drained:
            raise asyncio.CancelledError
        task = task or asyncio.current_task()
        if task is not None:
            self._resting.add(task)

    def work(self) -> None:
        """Mark the current task as working: a drain lets it continue until it rests again."""
        task = asyncio.current_task()
        if task is not None:
            self._resting.discard(task)

    def drain(self) -> None:
        """Let calls in flight end, and cancel the tasks that rest."""
        self.drained = True
        for task in self._resting:
            task.cancel()

    @contextmanager
    def working(self) -> Generator[None]:
        """Let the clock of the deadline run within ``with``, unless everything waits."""
        self._started = True
        self._count()
        try:
            yield
        finally:
            self._started = False
            self._count()

    @contextmanager
    def waiting(self, level: str) -> Generator[None]:
        """Count one wait for admission within ``with``: of a ``call`` or a ``resource``."""
        self._waiting += 1
        self._count()
        try:
            with self.gauges.wait(level):
                yield
        finally:
            self._waiting -= 1
            self._count()

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Count one outbound call within ``with``; a drained task lets it end."""
        self._begin_use()
        try:
            yield
        finally:
            self._end_use()

    @contextmanager
    def call(
        self, run_id: str, prompt_tokens: int, answer_tokens: int, cost: float | None = None
    ) -> Generator[None]:
        """Count one attempt while it is in flight; a drained task still saves its answer."""
        self._begin_use()
        try:
            with self.gauges.call(run_id, prompt_tokens, answer_tokens, cost):
                yield
        finally:
            self._end_use()

    def _begin_use(self) -> None:
        self.work()
        self.leave_queue()
        self.deadline.calls += 1
        self._in_flight += 1
        self._count()

    def _end_use(self) -> None:
        self._in_flight -= 1
        self._count()

    def leave_queue(self) -> None:
        """Let another concept wait for its first call."""
        queue, self.queue = self.queue, None
        if queue is not None:
            queue.release()

    def _count(self) -> None:
        works = self._started and (self._in_flight > 0 or not self._waiting)
        if works != self._works:
            self._works = works
            self.deadline.add(1 if works else -1)
