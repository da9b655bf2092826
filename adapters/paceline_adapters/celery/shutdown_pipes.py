"""Pipes on which the main process of a Celery worker asks its pool to drain or to stop."""

import asyncio
import os
from collections.abc import Callable


class ShutdownPipes:
    """Two pipes, created before the fork: every process watches them and none reads from them.

    One byte therefore reaches every process, including a process that is forked after the
    write. Writing it is safe in a signal handler. Signals cannot do this job: the pool uses
    most of them for itself, and Celery announces a shutdown in the main process only.
    """

    def __init__(self) -> None:
        self._drain = os.pipe()
        self._stop = os.pipe()

    def request_drain(self) -> None:
        """Ask every process to finish its calls in flight and then to hand its runs back."""
        os.write(self._drain[1], b"!")

    def request_stop(self) -> None:
        """Ask every process to hand its runs back at once."""
        os.write(self._stop[1], b"!")

    def watch(self, on_drain: Callable[[], None], on_stop: Callable[[], None]) -> None:
        """Make the running loop call each callback once, when its request arrives."""
        loop = asyncio.get_running_loop()

        def once(descriptor: int, callback: Callable[[], None]) -> None:
            loop.remove_reader(descriptor)
            callback()

        for (descriptor, _), callback in ((self._drain, on_drain), (self._stop, on_stop)):
            loop.add_reader(descriptor, once, descriptor, callback)

    def close(self) -> None:
        """Close the pipes. No loop may still watch them."""
        for descriptor in (*self._drain, *self._stop):
            os.close(descriptor)
