"""Processor time and memory of a program and all its child processes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

import psutil

#: Seconds between samples of memory, and between searches for new processes.
_SAMPLE_INTERVAL, _SEARCH_INTERVAL = 0.2, 1.0


@dataclass(slots=True)
class TreeFigures:
    """Resources that a process tree used.

    Attributes:
        cpu: processor time in seconds.
        rss_start: resident memory at the start, in bytes.
        rss_peak: maximum resident memory of any sample, in bytes.
    """

    cpu: float = 0.0
    rss_start: int = 0
    rss_peak: int = 0


@dataclass
class TreeProbe:
    """Watches a process tree while its ``async with`` block runs.

    Attributes:
        figures: the figures, complete after the block.
    """

    pid: int
    figures: TreeFigures = field(default_factory=TreeFigures)

    async def __aenter__(self) -> "TreeProbe":
        """Start watching."""
        self._processes = tree(self.pid)
        self._before = {process.pid: _cpu(process) for process in self._processes}
        self.figures.rss_start = self.figures.rss_peak = self._rss()
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._sampling.cancel()
        self.figures.rss_peak = max(self.figures.rss_peak, self._rss())
        self.figures.cpu = sum(
            max(0.0, _cpu(process) - self._before.get(process.pid, 0.0))
            for process in tree(self.pid)
        )

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        searched = loop.time()
        while True:
            await asyncio.sleep(_SAMPLE_INTERVAL)
            if loop.time() > searched + _SEARCH_INTERVAL:
                searched = loop.time()
                self._processes = tree(self.pid)
            self.figures.rss_peak = max(self.figures.rss_peak, self._rss())

    def _rss(self) -> int:
        total = 0
        for process in self._processes:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        return total


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; empty if it has exited."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill the processes that are still running."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue


def _cpu(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    # The time of children that have exited is added to their parent.
    children: float = getattr(used, "children_user", 0.0) + getattr(used, "children_system", 0.0)
    return float(used.user + used.system + children)
