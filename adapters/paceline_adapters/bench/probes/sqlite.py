"""Open connections to an SQLite file, over time."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from paceline_adapters.bench.probes.processes import tree

#: Seconds between two samples, and between searches for new processes.
_SAMPLE_INTERVAL, _SEARCH_INTERVAL = 0.1, 1.0


@dataclass
class FileProbe:
    """Counts how often a process tree has a file open, while its ``async with`` block runs.

    SQLite opens the file once for each connection.

    Attributes:
        samples: seconds since 1970, and the number at that time.
    """

    pid: int
    file: Path
    samples: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    async def __aenter__(self) -> "FileProbe":
        """Start watching."""
        self._path = str(self.file.resolve())
        self._processes = tree(self.pid)
        self._take_sample()
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._sampling.cancel()
        await asyncio.wait({self._sampling})

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        searched = loop.time()
        while True:
            await asyncio.sleep(_SAMPLE_INTERVAL)
            if loop.time() > searched + _SEARCH_INTERVAL:
                searched = loop.time()
                self._processes = tree(self.pid)
            self._take_sample()

    def _take_sample(self) -> None:
        count = sum(_times_open(process, self._path) for process in self._processes)
        self.samples.append((time.time(), count))


def _times_open(process: psutil.Process, path: str) -> int:
    try:
        return sum(file.path == path for file in process.open_files())
    except psutil.Error:
        return 0
