"""``paceline init``."""

from pathlib import Path

import click

#: What is written, by name, from the templates beside this module.
FILES = ("paceline.toml", "roadmap.json")


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def init(*, folder: Path, force: bool) -> int:
    """Write a settings file and an example roadmap to DIR, by default here.

    \b
    Example:
      paceline init my-roadmaps
    """
    from importlib import resources

    from paceline.cli.file_names import make_folder, refuse_existing, write_whole

    make_folder(folder)
    if not force:
        refuse_existing([folder / name for name in FILES])
    templates = resources.files("paceline.cli") / "templates"
    for name in FILES:
        write_whole(folder / name, (templates / name).read_text("utf-8"), replace=force)
        click.echo(f"wrote {folder / name}")
    step = "" if folder == Path() else f"  cd {folder}\n"
    click.echo(
        "\nNext:\n"
        f"{step}"
        "  export OPENAI_API_KEY=…       or set provider.base_url to a server of your own\n"
        "  paceline doctor               checks that everything can be reached\n"
        "  paceline run roadmap.json     generates the content; again to resume\n"
        "  paceline show                 shows what came of it"
    )
    return 0
