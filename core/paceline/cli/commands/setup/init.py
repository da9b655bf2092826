"""``paceline init``."""

from pathlib import Path

import click

#: Names of the files to write, in ``paceline/cli/templates``.
FILES = ("paceline.toml", "roadmap.json")


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Replace existing files.")
def init(*, folder: Path, force: bool) -> int:
    """Write a settings file and an example roadmap to DIR (default: here).

    \b
    Example:
      paceline init my-roadmaps
    """
    from importlib import resources

    from paceline.cli.whole_files import make_folder, refuse_existing, write_file

    make_folder(folder)
    if not force:
        refuse_existing([folder / name for name in FILES])
    templates = resources.files("paceline.cli") / "templates"
    for name in FILES:
        write_file(folder / name, (templates / name).read_text("utf-8"), replace=force)
        click.echo(f"wrote {folder / name}")
    step = "" if folder == Path() else f"  cd {folder}\n"
    click.echo(
        "\nNext:\n"
        f"{step}"
        "  export OPENAI_API_KEY=…       or set provider.base_url to a server of your own\n"
        "  paceline doctor               checks every part\n"
        "  paceline run roadmap.json     generates the content; run it again to resume\n"
        "  paceline show                 shows the runs and their content"
    )
    return 0
