"""Answers that wait to be saved: what a slow store holds up."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

#: Answers of a run that may wait to be saved while new concepts are begun: as many as one
#: transaction of a group commit takes.
UNSAVED = 500


class Backlog:
    """Counts a run's answers that are not saved yet, and holds up new concepts meanwhile.

    Where the provider answers faster than the store saves, something must wait. Let it be
    concepts that are not begun: they cost nothing.
    """

    def __init__(self) -> None:
        self._unsaved = 0
        self._fewer = asyncio.Event()

    async def room(self) -> None:
        """Wait until few enough answers wait to be saved."""
        while self._unsaved >= UNSAVED:
            self._fewer.clear()
            await self._fewer.wait()

    @contextmanager
    def saving(self) -> Generator[None]:
        """Count one answer until it is saved."""
        self._unsaved += 1
        try:
            yield
        finally:
            self._unsaved -= 1
            self._fewer.set()
