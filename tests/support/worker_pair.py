"""Two workers: one is killed at random instants and replaced at once."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.support.eventually import eventually
from tests.support.worker_processes import PATIENCE, Site

#: Maximum seconds between the start and the kill of a worker.
LONGEST_LIFE = 1.5
#: Settings for four runs at the same time per worker, for every executor.
FOUR_AT_ONCE = {
    "PACELINE_EXECUTORS__IN_PROCESS__CONCURRENCY": "4",
    "PACELINE_EXECUTORS__CELERY__CONCURRENCY": "4",
    "PACELINE_EXECUTORS__CELERY__POOL": "threads",
    "PACELINE_EXECUTORS__ARQ__MAX_JOBS": "4",
}


@dataclass(slots=True)
class Deaths:
    """The effects of the kills.

    Attributes:
        kills: how many there were.
        in_flight: LLM calls in flight at the instants of the kills, added up.
        seconds: from each kill until every run of the victim had an owner again; none for a
            victim that had no run.
    """

    kills: int = 0
    in_flight: int = 0
    seconds: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class Fleet:
    """Worker processes of a site.

    Attributes:
        site: where they work.
        chance: chooses the victim and the time of each kill.
        deaths: the kills so far.
    """

    site: Site
    chance: random.Random
    deaths: Deaths = field(default_factory=Deaths)
    _members: list[tuple[str, "subprocess.Popen[str]"]] = field(
        default_factory=list[tuple[str, "subprocess.Popen[str]"]]
    )
    _started: ExitStack = field(default_factory=ExitStack)
    _number: int = 0

    def add(self) -> None:
        """Start a worker; it need not be ready yet."""
        self._number += 1
        name = f"member{self._number}"
        process = self._started.enter_context(self.site.home.started("worker", name=name))
        self._members.append((name, process))

    def ready(self) -> None:
        """Wait until all are ready."""
        for name, _ in self._members:
            self._is_ready(name)

    def one(self) -> tuple[str, "subprocess.Popen[str]"]:
        """Wait until a random worker is ready, and return it."""
        name, process = self.chance.choice(self._members)
        self._is_ready(name)
        return name, process

    def _is_ready(self, name: str) -> None:
        eventually(lambda: "is ready" in self.site.home.log(name), PATIENCE)

    def replace(self, name: str) -> None:
        """Replace a dead worker."""
        self._members = [member for member in self._members if member[0] != name]
        self.add()

    def kill(self) -> None:
        """Kill one at a random instant, replace it, and wait until its runs are owned again."""
        name, victim = self.one()
        instant = time.monotonic() + self.chance.uniform(0, LONGEST_LIFE)
        eventually(lambda: time.monotonic() >= instant, PATIENCE)
        assert victim.poll() is None, self.site.home.log(name)
        # Stopped first, so that its state does not change until the kill.
        os.killpg(victim.pid, signal.SIGSTOP)
        self.deaths.in_flight += self.site.llm.figures()["in_flight"]
        owned = self.owned_by(victim.pid)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        killed = time.monotonic()
        self.deaths.kills += 1
        self.replace(name)
        if owned:
            self.inherited(owned)
            self.deaths.seconds.append(time.monotonic() - killed)

    def inherited(self, owned: list[tuple[str, int]]) -> None:
        """Wait until the runs have another owner or have ended."""
        before = " OR ".join(
            f"(run_id = '{run_id}' AND fence <= {fence} AND finished_at IS NULL)"
            for run_id, fence in owned
        )
        if owned:
            eventually(lambda: self.site.count("runs", before) == 0, PATIENCE)

    def owned_by(self, group: int) -> list[tuple[str, int]]:
        """Runs that the processes of a group own, with their fences."""
        rows = self.site.sql(
            "SELECT run_id, fence, pid FROM runs JOIN workers ON owner = worker_id "
            "WHERE status = 'running'"
        )
        split = [line.split("|") for line in rows.splitlines()]
        return [
            (run_id, int(fence)) for run_id, fence, pid in split if _group_of(int(pid)) == group
        ]

    def stop(self) -> None:
        """Stop all workers cleanly; none may have logged a bug."""
        self._started.close()
        for number in range(1, self._number + 1):
            log = self.site.home.log(f"member{number}")
            assert "Traceback" not in log, log


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:  # a process that was killed earlier
        return None


@contextmanager
def a_fleet(site: Site, chance: random.Random) -> Iterator[Fleet]:
    """Two workers that tests can kill."""
    fleet = Fleet(site, chance)
    try:
        fleet.add()
        fleet.add()
        yield fleet
    finally:
        fleet.stop()
