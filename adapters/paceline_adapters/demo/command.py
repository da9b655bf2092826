"""``paceline demo``: eight roadmaps against a simulated LLM, without server or key."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import click
from paceline import App, PartUnavailable, Roadmap, parse_roadmap
from paceline.client.terminal.app_options import json_option, load_app, settings_options
from paceline.client.terminal.generate import generate
from paceline.client.terminal.output import note

from paceline_adapters.demo.with_page import generate_with_page, import_page
from paceline_adapters.web.command import missing

DATABASE = "paceline-demo.db"


@click.command()
@click.option(
    "--strategy",
    default="unbounded",
    show_default=True,
    metavar="NAME[,NAME]",
    help="Strategy to demonstrate, for example per-roadmap or global.",
)
@click.option(
    "--speed",
    metavar="FACTOR",
    type=click.FloatRange(0.1, 1000),
    default=5.0,
    show_default=True,
    help="How many times faster than a real model the simulated LLM answers.",
)
@settings_options
@json_option
def demo(
    *, strategy: str, speed: float, config: Path | None, assignments: tuple[str, ...], as_json: bool
) -> int:
    """Watch eight roadmaps with 227 concepts being generated.

    A simulated LLM answers over real HTTP, and content is saved in ./paceline-demo.db. Look at
    the two layers: eight roadmaps are active, and every concept of them is in flight. The demo
    sets the executor, the store and the provider itself.

    With the extra `web` the demo also serves a progress page. On a terminal, the page stays
    until Ctrl-C.

    \b
    Examples:
      paceline demo
      paceline demo --strategy per-roadmap
      paceline demo --strategy per-roadmap --set strategies.per-roadmap.limit=2
    """
    roadmaps = example_roadmaps()
    with_page = not as_json and not missing()
    with simulated_llm(speed, import_page if with_page else None) as base_url:
        # Without the environment and with a fixed provider, no real API key is used.
        app = load_app(
            config,
            assignments,
            {"strategy": strategy},
            fixed={
                "executor": "in-process",
                "store.url": f"sqlite:///{DATABASE}",
                "provider.base_url": base_url,
                "provider.api_key": "simulated",
                "provider.model": "simulated",
            },
            environ={},
        )
        new = not asyncio.run(_any_unfinished(app, roadmaps))
        if with_page:
            return generate_with_page(app, roadmaps, new=new, next_steps=NEXT)
        code = generate(app, roadmaps, new=new, as_json=as_json)
    if not as_json:
        if code == 0:
            click.echo(NEXT)
        note("install the extra to get a progress page: pip install 'paceline[web]'")
    return code


NEXT = f"""
Next:
  paceline show --set store.url=sqlite:///{DATABASE}
                                         shows the generated content
  paceline demo --strategy per-roadmap   same work, five concepts per roadmap at once
  paceline plugins                       lists strategies, executors and other parts
  paceline init                          writes a settings file for your own roadmaps"""


def example_roadmaps() -> list[Roadmap]:
    """The eight example roadmaps, with 227 concepts in all."""
    folder = resources.files("paceline_adapters.demo") / "roadmaps"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return [
        parse_roadmap(json.loads(file.read_bytes()), source=file.name)
        for file in files
        if file.name.endswith(".json")
    ]


@contextmanager
def simulated_llm(speed: float, meanwhile: Callable[[], None] | None) -> Generator[str]:
    """Start a simulator as a process of its own; yields its base URL.

    It answers ``speed`` times as fast as a real model. ``meanwhile`` is called while it starts.

    Raises:
        PartUnavailable: the simulator did not start.
    """
    command = [sys.executable, "-m", "paceline", "simulator", "--port", "0", "--json"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--speed", str(speed)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Ctrl-C must not reach the simulator: calls in flight still need their answers.
        start_new_session=True,
    )
    try:
        if meanwhile is not None:
            meanwhile()
        assert process.stdout is not None  # noqa: S101
        line = process.stdout.readline()
        if not line:
            raise PartUnavailable("the simulated LLM did not start")
        yield json.loads(line)["base_url"]
    finally:
        process.terminate()
        process.wait()


async def _any_unfinished(app: App, roadmaps: list[Roadmap]) -> bool:
    """Whether an earlier demo was interrupted, so that this one resumes it."""
    async with app.client() as client:
        for roadmap in roadmaps:
            runs = await client.runs(roadmap_id=roadmap.roadmap_id, limit=1)
            if not runs or runs[0].status != "completed":
                return bool(runs)
    return False
