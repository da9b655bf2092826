"""``paceline demo``: the whole thing on one screen, with no server and no key."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import resources

import click
from paceline import PartUnavailable, Roadmap, parse_roadmap
from paceline.cli.commands.run import generate
from paceline.client.terminal.app_options import json_option, note
from paceline.plugins.registry import Plugins
from paceline.roadmaps.decoding import decode
from paceline.runtime.parts import open_store
from paceline.settings.load import Loaded, Value, load_settings

from paceline_adapters.demo.beside import generate_beside_page, prepare_page
from paceline_adapters.web.command import missing

DATABASE = "paceline-demo.db"


@click.command()
@click.option(
    "--strategy",
    default="unbounded",
    show_default=True,
    metavar="NAME[,NAME]",
    help="Another one shows what it changes: per-roadmap, global.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 1000),
    default=5.0,
    show_default=True,
    help="How many times faster than a real model the simulated one answers.",
)
@json_option
def demo(*, strategy: str, speed: float, as_json: bool) -> int:
    """Watch eight roadmaps, 227 concepts, being generated.

    A simulated LLM answers over real HTTP; artifacts are saved in ./paceline-demo.db. Look at
    the two layers: eight roadmaps are active, yet every concept within them is in flight.
    With the extra `web` it serves a page of all this too, and on a terminal stays up with it
    until Ctrl-C.

    \b
    Examples:
      paceline demo
      paceline demo --strategy per-roadmap
    """
    roadmaps = example_roadmaps()
    with_page = not as_json and not missing()
    with simulated_llm(speed, prepare_page if with_page else _nothing) as base_url:
        plugins = Plugins()
        loaded = load_settings(plugins, flags=_settings(strategy, base_url), environ={})
        new = not asyncio.run(_unfinished(loaded, plugins, roadmaps))
        if with_page:
            return generate_beside_page(loaded, plugins, roadmaps, new=new, after=NEXT)
        code = generate(loaded, plugins, roadmaps, new=new, as_json=as_json)
    if not as_json:
        if code == 0:
            click.echo(NEXT)
        note("a page of all this comes with the extra: pip install 'paceline[web]'")
    return code


def _nothing() -> None:
    """There is nothing to prepare."""


NEXT = f"""
Look next:
  paceline show --set store.url=sqlite:///{DATABASE}
                                         what was generated
  paceline demo --strategy per-roadmap   the same work, five concepts of each roadmap at once
  paceline plugins                       every strategy, executor and other part
  paceline init                          a settings file for your own roadmaps"""


def example_roadmaps() -> list[Roadmap]:
    """The eight roadmaps that the package ships, 227 concepts in all."""
    folder = resources.files("paceline_adapters.demo") / "roadmaps"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return [
        parse_roadmap(
            decode(file.read_bytes(), yaml_allowed=False, source=file.name), source=file.name
        )
        for file in files
        if file.name.endswith(".json")
    ]


@contextmanager
def simulated_llm(speed: float, meanwhile: Callable[[], None]) -> Generator[str]:
    """A simulator in a process of its own; gives its base URL.

    Args:
        speed: how many times faster than a real model it answers.
        meanwhile: what may be done while it starts.

    Raises:
        PartUnavailable: it did not start.
    """
    command = [sys.executable, "-m", "paceline", "simulator", "--port", "0", "--json"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--speed", str(speed)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # A Ctrl-C at the terminal is for us: the calls in flight still want their answers.
        start_new_session=True,
    )
    try:
        meanwhile()
        assert process.stdout is not None  # noqa: S101
        line = process.stdout.readline()
        if not line:
            raise PartUnavailable("the simulated LLM did not start")
        yield json.loads(line)["base_url"]
    finally:
        process.terminate()
        process.wait()


def _settings(strategy: str, base_url: str) -> list[Value]:
    """What the demo needs, whatever settings lie about: it is no place for a real key."""
    return [
        Value(("strategy",), strategy, "--strategy"),
        Value(("executor",), "in-process", "the demo"),
        Value(("store", "url"), f"sqlite:///{DATABASE}", "the demo"),
        Value(("provider", "base_url"), base_url, "the demo"),
        Value(("provider", "api_key"), "simulated", "the demo"),
        Value(("provider", "model"), "simulated", "the demo"),
    ]


async def _unfinished(loaded: Loaded, plugins: Plugins, roadmaps: list[Roadmap]) -> bool:
    """Whether an earlier demo was interrupted: then this one goes on with it."""
    async with open_store(loaded.settings, plugins) as store:
        for roadmap in roadmaps:
            runs = await store.runs(roadmap_id=roadmap.roadmap_id, limit=1)
            if not runs or runs[0].status != "completed":
                return bool(runs)
    return False
