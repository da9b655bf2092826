"""How the main process of a worker tells all its processes to drain, or to stop."""

import asyncio
import os
from collections.abc import Callable


class Bell:
    """Two pipes, made before the fork: each process watches them, and nobody empties them.

    So one byte is seen by every process, by those too that are forked after it was written,
    and writing it is safe in a signal handler. (Signals of our own are not at hand: the pool
    takes most of them for itself, and Celery's own word of a shutdown reaches the main
    process only.)
    """

    def __init__(self) -> None:
        self._drain = os.pipe()
        self._stop = os.pipe()

    def drain(self) -> None:
        """Tell every process to let calls in flight end, and then to hand its runs back."""
        os.write(self._drain[1], b"!")

    def stop(self) -> None:
        """Tell every process to hand its runs back at once."""
        os.write(self._stop[1], b"!")

    def listen(self, on_drain: Callable[[], None], on_stop: Callable[[], None]) -> None:
        """Have the running loop call these, once each, when the bell is rung."""
        loop = asyncio.get_running_loop()

        def once(descriptor: int, callback: Callable[[], None]) -> None:
            loop.remove_reader(descriptor)
            callback()

        for (descriptor, _), callback in ((self._drain, on_drain), (self._stop, on_stop)):
            loop.add_reader(descriptor, once, descriptor, callback)

    def close(self) -> None:
        """Close the pipes, once nobody listens."""
        for descriptor in (*self._drain, *self._stop):
            os.close(descriptor)
