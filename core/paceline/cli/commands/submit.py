"""``paceline submit``."""

from pathlib import Path

import click

from paceline.cli.sharing import note_kept, share_options
from paceline.client.client import Client, Submitted
from paceline.client.command_options import echo_json, json_option, run_async, settings_options
from paceline.client.roadmap_files import read_roadmaps, roadmap_files
from paceline.contracts.records import Run
from paceline.contracts.share import Share
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Roadmap
from paceline.settings.load import Loaded


@click.command()
@roadmap_files
@settings_options
@click.option("--new", is_flag=True, help="Start other runs, even of roadmaps that have one.")
@share_options
@json_option
def submit(
    *,
    files: tuple[Path, ...],
    loaded: Loaded,
    plugins: Plugins,
    new: bool,
    share: Share,
    as_json: bool,
) -> int:
    """Queue each roadmap FILE for workers, and return at once.

    Prints the id of each run; `paceline watch` follows them, `paceline worker` works on them.

    \b
    Example:
      paceline submit roadmap.json --executor celery
      paceline submit roadmap.json --tenant acme --weight 2
    """
    submitted = run_async(_submit(loaded, plugins, read_roadmaps(files), new=new, share=share))
    if as_json:
        echo_json(
            {
                "runs": [
                    {
                        "run_id": run.run_id,
                        "roadmap_id": run.roadmap_id,
                        "status": run.status,
                        "submitted": what,
                    }
                    for run, what in submitted
                ]
            }
        )
        return 0
    for run, what in submitted:
        note_kept(run, share)
        click.echo(f"{run.run_id}  {what}  {run.roadmap_id}")
    return 0


async def _submit(
    loaded: Loaded, plugins: Plugins, roadmaps: list[Roadmap], *, new: bool, share: Share
) -> list[tuple[Run, Submitted]]:
    from paceline.runtime.parts import open_executor, open_store, open_telemetry

    settings = loaded.settings
    async with (
        open_store(settings, plugins) as store,
        open_executor(settings, plugins) as executor,
        open_telemetry(settings, plugins) as telemetry,
    ):
        service = Client(settings, store, executor, telemetry)
        return [await service.submit(roadmap, new=new, share=share) for roadmap in roadmaps]
