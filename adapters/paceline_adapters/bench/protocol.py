"""How the engine talks to what it measures: one document, four words.

A measured program is started with one argument, the path of an ``Order`` as JSON. It prints
``ready`` when it is warmed up, begins when it reads ``go``, prints ``done`` when everything is
durable, and ends when its input ends. Ours (``host.py``) and the hand-written contestants speak it
alike, so both are measured by the same watch.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from paceline import PartUnavailable
from psutil import Process
from pydantic import BaseModel, ConfigDict, Field

from paceline_adapters.bench.probes.processes import kill, tree

#: Seconds for a program to warm up, and to end once its input ended.
START, END = 120.0, 60.0
_TAIL = 15


class Order(BaseModel):
    """What to do, and with what. A contestant reads what it needs and ignores the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    roadmaps: list[Path]
    """Files of the roadmaps to generate."""
    warm_up: Path
    """A roadmap to generate before saying ``ready``."""
    base_url: str
    api_key: str
    model: str
    store_url: str
    """An empty database: PostgreSQL with our tables in it, or SQLite without."""
    redis_url: str | None
    """An empty database of a Redis server, where the cell has one."""
    settings: dict[str, str]
    """What of ``paceline.toml`` makes the cell, by dotted path."""
    workers: int = 1
    """Worker processes to start, where runs go to such."""
    out: Path = Field(default=Path("seen.json"))
    """Where our host writes what it saw, before it ends."""


class Contender:
    """A measured program that runs.

    Args:
        process: its process.
        log: where its stderr goes.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._started: Sequence[Process] = ()
        self._log = log

    @property
    def pid(self) -> int:
        """Of its first process; the others are children of it."""
        return self._process.pid

    async def hear(
        self, word: str, *, within: float, progress: Callable[[], object] = lambda: None
    ) -> float:
        """Wait until it prints a word; returns when that was, by ``time.perf_counter``.

        Args:
            word: the word.
            within: seconds that it may take.
            progress: where this gives something new, it may take that long once more.

        Raises:
            PartUnavailable: it ended before, or printed something else, or took too long.
        """
        assert self._process.stdout is not None  # noqa: S101
        seen = progress()
        while True:
            try:
                # Not `wait_for`, which before Python 3.12 may forget that Ctrl-C was pressed.
                async with asyncio.timeout(within):
                    line = await self._process.stdout.readline()
                break
            except TimeoutError:
                last, seen = seen, progress()
                if seen == last:
                    raise self._failed(f"did not say {word!r} within {within:g} s") from None
        at = time.perf_counter()
        said = line.decode(errors="replace").strip()
        if said != word:
            what = f"said {said!r} instead of {word!r}" if line else f"ended before {word!r}"
            raise self._failed(what)
        # Once it is gone, nobody can tell which processes were its own.
        self._started = tree(self.pid)
        return at

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(b"go\n")

    async def end(self) -> None:
        """End its input and wait until it is gone.

        Raises:
            PartUnavailable: it failed in the end, or did not end.
        """
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()
        try:
            async with asyncio.timeout(END):
                code = await self._process.wait()
        except TimeoutError:
            raise self._failed(f"did not end within {END:g} s") from None
        if code:
            raise self._failed(f"ended with exit code {code}")

    async def kill(self) -> None:
        """Kill whatever of it is left."""
        kill([*self._started, *tree(self.pid)])
        await self._process.wait()

    def _failed(self, what: str) -> PartUnavailable:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-_TAIL:]
        tail = "".join(f"\n  {line}" for line in lines)
        return PartUnavailable(f"it {what}{tail}")


@asynccontextmanager
async def started(
    command: Sequence[str], order: Order, *, folder: Path, import_from: Path | None = None
) -> AsyncGenerator[Contender]:
    """A measured program in a process group of its own, all of which is gone in the end.

    Args:
        command: the program, without its argument.
        order: what it is told.
        folder: of this round alone: where it runs, and where its log is.
        import_from: another folder that it imports from.
    """
    environment = clean_environment()
    if import_from is not None:
        environment["PYTHONPATH"] = str(import_from)
    told = folder / "order.json"
    told.write_text(order.model_dump_json(indent=1))
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(told),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # a Ctrl-C at the terminal is for us
        )
    contender = Contender(process, log)
    try:
        yield contender
    finally:
        await contender.kill()


def clean_environment() -> dict[str, str]:
    """Ours without settings: what lies about must not change what is measured."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PACELINE_", "OPENAI_")) or name == "PACELINE_PLUGINS"
    }
    return kept | {"PYTHONUNBUFFERED": "1"}


def module(name: str) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", name]
