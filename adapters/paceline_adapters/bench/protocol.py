"""The protocol between the engine and the program that it measures.

The engine starts the program with one argument: the path of a ``RoundSpec`` as JSON. The program
prints ``ready`` when it is warmed up, starts when it reads ``go``, prints ``done`` when everything
is durable, and exits when its standard input ends. ``host.py`` and the hand-written contestants
implement the same protocol, so both are timed in the same way.
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

#: Maximum seconds for a program to warm up, and to exit after its input ended.
START_TIMEOUT, EXIT_TIMEOUT = 120.0, 60.0
#: Lines of the program's log in an error.
_LOG_LINES = 15


class RoundSpec(BaseModel):
    """The input of one round. A contestant reads the fields that it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    roadmaps: list[Path]
    """Files of the roadmaps to generate."""
    warm_up: Path
    """A roadmap to generate before printing ``ready``."""
    base_url: str
    api_key: str
    model: str
    store_url: str
    """An empty database with paceline's tables: PostgreSQL or SQLite."""
    redis_url: str | None
    """An empty database of a Redis server, if the cell needs one."""
    settings: dict[str, str]
    """The settings of the cell, by dotted path."""
    workers: int = 1
    """Worker processes to start, if the executor is distributed."""
    out: Path = Field(default=Path("observation.json"))
    """File to which the host writes its observation before it exits."""


class MeasuredProgram:
    """A measured program that is running.

    Args:
        log: file with its standard error.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._started: Sequence[Process] = ()
        self._log = log

    @property
    def pid(self) -> int:
        """Process id of the program; its other processes are children."""
        return self._process.pid

    async def wait_for(
        self, word: str, *, timeout: float, progress: Callable[[], object] = lambda: None
    ) -> float:
        """Wait until the program prints a word; returns the ``time.perf_counter`` of that moment.

        Args:
            word: the expected word.
            timeout: maximum number of seconds to wait.
            progress: if its value has changed when the time is up, the wait starts again.

        Raises:
            PartUnavailable: the program exited, printed another line, or timed out.
        """
        assert self._process.stdout is not None  # noqa: S101
        state = progress()
        while True:
            try:
                # Not `wait_for`: before Python 3.12 it may lose the cancellation of Ctrl-C.
                async with asyncio.timeout(timeout):
                    line = await self._process.stdout.readline()
                break
            except TimeoutError:
                last, state = state, progress()
                if state == last:
                    raise self._failed(f"did not print {word!r} within {timeout:g} s") from None
        at = time.perf_counter()
        printed = line.decode(errors="replace").strip()
        if printed != word:
            what = f"printed {printed!r} instead of {word!r}" if line else f"exited before {word!r}"
            raise self._failed(what)
        # After it has exited, its child processes can no longer be found.
        self._started = tree(self.pid)
        return at

    def go(self) -> None:
        """Start the measured work."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(b"go\n")

    async def end(self) -> None:
        """Close its standard input and wait until it exits.

        Raises:
            PartUnavailable: it exited with an error, or timed out.
        """
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()
        try:
            async with asyncio.timeout(EXIT_TIMEOUT):
                code = await self._process.wait()
        except TimeoutError:
            raise self._failed(f"did not exit within {EXIT_TIMEOUT:g} s") from None
        if code:
            raise self._failed(f"exited with code {code}")

    async def kill(self) -> None:
        """Kill all its processes that are still running."""
        kill([*self._started, *tree(self.pid)])
        await self._process.wait()

    def _failed(self, what: str) -> PartUnavailable:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
        tail = "".join(f"\n  {line}" for line in lines)
        return PartUnavailable(f"the measured program {what}{tail}")


@asynccontextmanager
async def start_program(
    command: Sequence[str], spec: RoundSpec, *, folder: Path, import_from: Path | None = None
) -> AsyncGenerator[MeasuredProgram]:
    """Start a program in a process group of its own; all its processes are killed at the end.

    Args:
        command: the program, without its argument.
        spec: the input of the round.
        folder: working directory of this round; it also holds the log.
        import_from: another folder to import modules from.
    """
    environment = clean_environment()
    if import_from is not None:
        environment["PYTHONPATH"] = str(import_from)
    spec_file = folder / "round.json"
    spec_file.write_text(spec.model_dump_json(indent=1))
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(spec_file),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # a Ctrl-C at the terminal goes to the engine only
        )
    program = MeasuredProgram(process, log)
    try:
        yield program
    finally:
        await program.kill()


def clean_environment() -> dict[str, str]:
    """The environment without settings of paceline, which would change the measurement."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PACELINE_", "OPENAI_")) or name == "PACELINE_PLUGINS"
    }
    return kept | {"PYTHONUNBUFFERED": "1"}


def print_line(word: str) -> None:
    """Print one word of the protocol."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def module(name: str) -> list[str]:
    """The command that runs a module with this Python."""
    return [sys.executable, "-m", name]
