"""A third-party package with a strategy and an executor, chosen by name in the settings."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.cli_processes import Home, Simulator
from tests.support.demo_roadmaps import ROADMAPS

MODULE = '''
"""A few calls at a time, and an executor that serves runs from the store."""
import asyncio

from pydantic import Field

from paceline import (
    Context, Executor, NoOptions, Options, Permit, Register, Strategy, Work, hookimpl
)


class SlowOptions(Options):
    calls: int = Field(default=1, ge=1)
    """Calls at once."""


class Slow(Strategy):
    levels = frozenset({"call"})

    def __init__(self, calls: int) -> None:
        self._room = asyncio.Semaphore(calls)

    async def admit(self, work: Work) -> Permit:
        await self._room.acquire()
        return Permit(lambda outcome: self._room.release())


class Steady(Executor):
    distributed = False
    concurrency = 2

    def __init__(self, context: Context) -> None:
        self._context = context

    async def submit(self, run_id: str) -> None:
        pass

    def serve(self, *, concurrency: int | None = None) -> int:
        return asyncio.run(self._serve(concurrency or 2))

    async def _serve(self, concurrency: int) -> int:
        async with self._context.host().worker(concurrency=concurrency) as worker:
            return await worker.serve_until_signalled(asyncio.create_task(worker.serve()))


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    register("slow", lambda o, c: Slow(o.calls), options=SlowOptions, summary="A few calls.")


@hookimpl
def paceline_register_executors(register: Register[Executor]) -> None:
    register("steady", lambda o, c: Steady(c), options=NoOptions, summary="Two roadmaps.")
'''


@pytest.fixture
def environment(tmp_path: Path) -> str:
    """The Python of a virtual environment with our packages and the third-party package."""
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    [theirs] = folder.glob("lib/python*/site-packages")
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    # addsitedir, not a plain line: the editable install of paceline is itself a .pth file.
    (theirs / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    metadata = theirs / "slow_and_steady-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-and-steady\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[paceline]\nslow-and-steady = slow_and_steady\n")
    (theirs / "slow_and_steady.py").write_text(MODULE)
    subprocess.run([python, "-c", "import paceline, slow_and_steady"], check=True)
    return python


def test_a_third_party_strategy_can_be_chosen_by_name(
    home: Home, llm: Simulator, environment: str
) -> None:
    home.python = environment
    (home.folder / "paceline.toml").write_text(
        'strategy = ["slow"]\nexecutor = "steady"\n[strategies.slow]\ncalls = 20\n'
    )
    report = home.json("run", str(ROADMAPS[1]))
    assert report["runs"][0]["status"] == "completed"
    assert llm.figures()["in_flight_peak"] == 20
    assert "slow" in home.run("plugins").stdout
    told = home.run("run", str(ROADMAPS[1]), "--set", "strategies.slow.calls=0", code=2).stderr
    assert "strategies.slow.calls" in told


def test_a_broken_plugin_is_reported_and_the_others_still_work(
    home: Home, environment: str
) -> None:
    home.python = environment
    [module] = Path(environment).parents[1].glob("lib/python*/site-packages/slow_and_steady.py")
    module.write_text("raise RuntimeError('half installed')\n")
    done = home.run("config", "show")
    assert "slow-and-steady could not be loaded: half installed" in done.stderr
    home.environment["PACELINE_PLUGINS"] = "none"
    assert "half installed" not in home.run("config", "show").stderr
