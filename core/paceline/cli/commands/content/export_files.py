"""Writes what an exporter yields."""

import sys
from pathlib import Path

import click

from paceline.cli.whole_files import draft_of, encoded, make_folder, refuse_existing, write_file
from paceline.contracts.exporter import ExportedRun, Exporter, FileExporter, FolderExporter
from paceline.errors import PluginError
from paceline.text import count


async def write(exporter: Exporter, run: ExportedRun, to: Path | None, *, replace: bool) -> None:
    """Write what an exporter yields to a folder, to a file, or to stdout if ``to`` is ``-``.

    Args:
        exporter: the exporter.
        run: the run to export.
        to: the folder or file; ``None`` is stdout, for text only.
        replace: whether existing files may be replaced.

    Raises:
        PluginError: the exporter yields a file with another name than it announced.
        UsageError: a file exists or cannot be written.
    """
    if isinstance(exporter, FolderExporter) and to is not None:
        await _write_folder(exporter, run, to, replace=replace)
    elif isinstance(exporter, FileExporter):
        if to is None or str(to) == "-":
            await _print(exporter, run)
        else:
            await _write_file(exporter, run, to, replace=replace)


async def _write_folder(
    exporter: FolderExporter, run: ExportedRun, folder: Path, *, replace: bool
) -> None:
    names = list(exporter.names(run))
    for name in names:
        if name in ("", ".", "..") or "\\" in name or Path(name).name != name:
            raise PluginError(f"{type(exporter).__name__}: {name!r} must be the name of a file")
    make_folder(folder)
    if not replace:
        refuse_existing([folder / name for name in names])
    async for name, content in exporter.files(run):
        if name not in names:
            raise PluginError(f"{type(exporter).__name__}: {name!r} is missing in names()")
        write_file(folder / name, content, replace=replace)
    exported = sum(1 for concept in run.concepts if concept.steps)
    click.echo(f"{count(exported, 'concept')} written to {folder / names[0]}")


async def _write_file(exporter: FileExporter, run: ExportedRun, to: Path, *, replace: bool) -> None:
    if not replace:
        refuse_existing([to])
    with draft_of(to, replace=replace) as file:
        async for piece in exporter.pieces(run):
            file.write(encoded(piece))
    click.echo(f"{run.run.completed} of {count(run.run.total, 'concept')} written to {to}")


async def _print(exporter: FileExporter, run: ExportedRun) -> None:
    async for piece in exporter.pieces(run):
        if isinstance(piece, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(piece)
        else:
            sys.stdout.write(piece)
