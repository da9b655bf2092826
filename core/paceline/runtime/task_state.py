"""Where one concept's task is: resting, where it may be stopped, or in a call."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from paceline.contracts.telemetry import OFF, Gauges, Telemetry


@dataclass(slots=True)
class TaskState:
    """The state of a concept's task, as far as others need it.

    Attributes:
        gauges: where calls in flight are counted.
        queue: held until the first call; bounds how many concepts wait for theirs.
        resting: waiting for admission or between attempts: nothing is lost by stopping now.
        drained: told to begin nothing more.
        telemetry: told of admissions and attempts.
    """

    gauges: Gauges
    queue: asyncio.Semaphore | None
    resting: bool = True
    drained: bool = False
    telemetry: Telemetry = OFF

    def rest(self) -> None:
        """The task is about to wait.

        Raises:
            asyncio.CancelledError: it was told to begin nothing more.
        """
        if self.drained:
            raise asyncio.CancelledError
        self.resting = True

    @contextmanager
    def call(self) -> Generator[None]:
        """Count one attempt while it is in flight; what it brings is still saved afterwards."""
        self.resting = False
        self.leave_queue()
        self.gauges.calls += 1
        try:
            yield
        finally:
            self.gauges.calls -= 1

    def leave_queue(self) -> None:
        """Let another concept begin to wait."""
        queue, self.queue = self.queue, None
        if queue is not None:
            queue.release()
