"""The state of a concept's task: resting, when it may be stopped, or in a call."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from paceline.contracts.telemetry import OFF, Gauges, Telemetry


@dataclass(slots=True)
class TaskState:
    """What the pipeline knows of a concept's task.

    ``queue`` is held until the first call; it limits how many concepts wait for one. A task is
    ``resting`` while it waits for admission or between attempts: stopping it then loses nothing.
    A ``drained`` task may start no further call.
    """

    gauges: Gauges
    queue: asyncio.Semaphore | None
    resting: bool = True
    drained: bool = False
    telemetry: Telemetry = OFF

    def rest(self) -> None:
        """Mark the task as resting.

        Raises:
            asyncio.CancelledError: the task is drained.
        """
        if self.drained:
            raise asyncio.CancelledError
        self.resting = True

    @contextmanager
    def call(self) -> Generator[None]:
        """Count one attempt while it is in flight; a drained task still saves its answer."""
        self.resting = False
        self.leave_queue()
        self.gauges.calls += 1
        try:
            yield
        finally:
            self.gauges.calls -= 1

    def leave_queue(self) -> None:
        """Let another concept wait for its first call."""
        queue, self.queue = self.queue, None
        if queue is not None:
            queue.release()
