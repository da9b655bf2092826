"""Backpressure from a slow store: answers that wait to be saved delay new concepts."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

#: Maximum number of unsaved answers of a run while new concepts start: as many as one
#: transaction of a group commit takes.
MAX_UNSAVED = 500


class SaveBacklog:
    """Counts a run's unsaved answers and delays new concepts while there are too many.

    If the provider answers faster than the store saves, something must wait. Concepts that
    have not started cost nothing.
    """

    def __init__(self) -> None:
        self._unsaved = 0
        self._saved = asyncio.Event()

    async def wait_for_room(self) -> None:
        """Wait until fewer than ``MAX_UNSAVED`` answers are unsaved."""
        while self._unsaved >= MAX_UNSAVED:
            self._saved.clear()
            await self._saved.wait()

    @contextmanager
    def saving(self) -> Generator[None]:
        """Count one answer until it is saved."""
        self._unsaved += 1
        try:
            yield
        finally:
            self._unsaved -= 1
            self._saved.set()
