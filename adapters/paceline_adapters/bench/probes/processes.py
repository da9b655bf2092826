"""Processor time and memory of a program and all that it started."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

import psutil

#: Seconds between looks at memory, and looks for new processes.
_EVERY, _LOOK_FOR_NEW = 0.2, 1.0


@dataclass(slots=True)
class TreeFigures:
    """What a process tree used.

    Attributes:
        cpu: seconds of processor time.
        rss_start: resident bytes when it began.
        rss_peak: resident bytes at the most, in any sample.
    """

    cpu: float = 0.0
    rss_start: int = 0
    rss_peak: int = 0


@dataclass
class TreeProbe:
    """Watches a process tree from entering to leaving the block.

    Attributes:
        pid: of its root.
        figures: complete once the block was left.
    """

    pid: int
    figures: TreeFigures = field(default_factory=TreeFigures)

    async def __aenter__(self) -> "TreeProbe":
        """Begin."""
        self._processes = tree(self.pid)
        self._before = {process.pid: _cpu(process) for process in self._processes}
        self.figures.rss_start = self.figures.rss_peak = self._rss()
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End."""
        self._sampling.cancel()
        self.figures.rss_peak = max(self.figures.rss_peak, self._rss())
        self.figures.cpu = sum(
            max(0.0, _cpu(process) - self._before.get(process.pid, 0.0))
            for process in tree(self.pid)
        )

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(_EVERY)
            if loop.time() > looked + _LOOK_FOR_NEW:
                looked = loop.time()
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
    """A process and all that descend from it; empty where it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, those that are left."""
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
    # What its children used that ended meanwhile is its own by now.
    children: float = getattr(used, "children_user", 0.0) + getattr(used, "children_system", 0.0)
    return float(used.user + used.system + children)
