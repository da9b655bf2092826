"""``paceline plan``."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import click

from paceline.app import App
from paceline.client.terminal.app_options import app_options, json_option, run_async
from paceline.client.terminal.forecast_table import (
    picture,
    print_basis,
    print_choices,
    print_forecast,
    print_recommendation,
)
from paceline.client.terminal.output import echo_json, note
from paceline.client.terminal.roadmap_files import read_roadmaps
from paceline.errors import UsageError
from paceline.planning.alternatives import (
    Alternative,
    Choice,
    Constraints,
    Recommendation,
    grid,
    pareto,
    recommend,
)
from paceline.planning.forecast import Progress, no_progress
from paceline.planning.plan import Planner, inputs_of
from paceline.planning.workload_file import WorkloadFile, synthetic_roadmap
from paceline.plugins.built_ins import FORECAST_PAGE
from paceline.roadmaps.model import Roadmap
from paceline.settings.durations import parse_duration

_FILE = click.Path(dir_okay=False, path_type=Path)


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Number of `paceline worker` processes (celery, arq).",
)
@click.option(
    "--workload",
    metavar="FILE",
    type=_FILE,
    help="TOML file with roadmaps, latencies and quotas, as for `paceline bench`.",
)
@click.option(
    "--provider-model",
    metavar="FILE",
    type=_FILE,
    help="TOML file that describes the provider: latencies, quotas, knee, neighbours.",
)
@click.option(
    "--from-runs", is_flag=True, help="Take latencies, tokens and attempts from past runs."
)
@click.option(
    "--compare",
    "compared",
    metavar="SETTINGS",
    multiple=True,
    help='Other settings, e.g. "strategy=global:concurrency=32 workers=2". Repeatable.',
)
@click.option(
    "--search", is_flag=True, help="Try limits of concepts and calls, and numbers of workers."
)
@click.option(
    "--max-connections", metavar="N", type=click.IntRange(1), help="Most database connections."
)
@click.option("--budget", metavar="AMOUNT", type=click.FloatRange(min=0), help="Highest cost.")
@click.option("--within", metavar="TIME", callback=_seconds, help="Latest end, such as 90m or 2h.")
@click.option("--html", "page", metavar="FILE", type=_FILE, help="Also write the page FILE.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--draws",
    metavar="N",
    type=click.IntRange(2, 10_000),
    help="Number of draws.  [default: 5 to 20, by the number of concepts]",
)
@app_options
@json_option
def plan(
    *,
    files: tuple[Path, ...],
    app: App,
    workers: int,
    workload: Path | None,
    provider_model: Path | None,
    from_runs: bool,
    compared: tuple[str, ...],
    search: bool,
    max_connections: int | None,
    budget: float | None,
    within: float | None,
    page: Path | None,
    seed: int,
    draws: int | None,
    as_json: bool,
) -> int:
    """Forecast time, cost and load of the roadmaps in FILE before anything is started.

    The strategies of the settings are played in virtual time, several times with random latencies.
    Each figure is the median of all draws, with the range of 8 in 10 of them.

    --compare and --search forecast other settings, too, and recommend one. A recommended setting
    keeps --max-connections, --budget and --within in 9 of 10 draws. --html writes the comparison
    as a page with a picture.

    \b
    Examples:
      paceline plan roadmap.json
      paceline plan *.json --strategy global --provider-model provider.toml
      paceline plan *.json --from-runs --json
      paceline plan *.json --compare strategy=unbounded --compare strategy=global:concurrency=32
      paceline plan *.json --search --max-connections 60 --within 2h
      paceline plan *.json --search --html forecast.html
    """
    work = None if workload is None else WorkloadFile.read(workload)
    roadmaps = _roadmaps(files, work)
    constraints = Constraints(max_connections=max_connections, budget=budget, within=within)
    alternatives = [Alternative.parse(text) for text in compared]
    if search:
        alternatives += grid(distributed=app.factory.executor().distributed)
    if constraints != Constraints() and not alternatives:
        raise UsageError("--max-connections, --budget and --within need --compare or --search")
    if page is not None and not alternatives:
        raise UsageError("--html needs --compare or --search")

    async def planner() -> Planner:
        inputs = await inputs_of(
            app.factory, workload=work, provider_model=provider_model, from_runs=from_runs
        )
        return Planner(
            factory=app.factory,
            roadmaps=roadmaps,
            inputs=inputs,
            workers=workers,
            seed=seed,
            draws=draws,
        )

    planned = run_async(planner())
    with _progress(shown=not as_json) as progress:
        if not alternatives:
            found = run_async(planned.forecast(progress))
            choices: list[Choice] = []
        else:
            choices = run_async(planned.compare(alternatives, progress))
            found = choices[0].forecast
    if not choices:
        if as_json:
            echo_json(found.to_json())
        else:
            print_forecast(found)
        return 0
    front, best = pareto(choices), recommend(choices, constraints)
    if page is not None:
        write_page(page, forecast_page(choices, front, best, constraints))
    if as_json:
        echo_json(_json(choices, front, best, constraints))
    else:
        print_choices(choices, constraints, None if best is None else best.choice)
        click.echo(f"\n{picture(choices, front)}\n")
        print_recommendation(best)
        print_basis(found)
    return 0


def _roadmaps(files: tuple[Path, ...], work: WorkloadFile | None) -> list[Roadmap]:
    if files:
        return read_roadmaps(files)
    if work is not None and work.files:
        return read_roadmaps(tuple(work.files))
    if work is not None and (work.roadmaps or work.concepts):
        number, concepts = work.roadmaps or 8, work.concepts or 30
        return [synthetic_roadmap(one, concepts) for one in range(1, number + 1)]
    raise UsageError("give roadmap files, or a --workload that names roadmaps")


@contextmanager
def _progress(*, shown: bool) -> Generator[Progress]:
    """A progress bar on stderr if it is a terminal."""
    if not (shown and sys.stderr.isatty()):
        yield no_progress
        return
    with click.progressbar(length=100, label="planning", file=sys.stderr) as bar:

        def report(done: int, total: int) -> None:
            bar.update(100 * done // total - bar.pos)

        yield report


def forecast_page(
    choices: list[Choice], front: list[Choice], best: Recommendation | None, rules: Constraints
) -> str:
    """The comparison as an HTML document, in the style of the benchmark's report."""
    # By name, because core does not depend on adapters.
    renderer = import_module(FORECAST_PAGE)
    document: str = renderer.forecast_page(choices, front, best, rules)
    return document


def write_page(path: Path, document: str) -> None:
    """Write a page.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.write_text(document, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None
    note(f"page: {path}")


def _json(
    choices: list[Choice], front: list[Choice], best: Recommendation | None, rules: Constraints
) -> object:
    return {
        "choices": [
            {
                "name": one.alternative.name,
                "settings": one.alternative.settings(),
                "workers": one.alternative.workers,
                "pareto": one in front,
                "breaks": rules.broken_by(one.forecast),
                "forecast": one.forecast.to_json(),
            }
            for one in choices
        ],
        "recommended": None
        if best is None
        else {
            "name": best.choice.alternative.name,
            "reason": best.reason,
            "settings": best.snippet,
        },
    }
