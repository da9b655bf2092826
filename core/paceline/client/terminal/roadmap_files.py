"""Roadmap files as arguments of a command."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from paceline.errors import UsageError
from paceline.roadmaps.model import Roadmap, load_roadmap

R = TypeVar("R")


def roadmap_files(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``FILE…``, given as ``files``."""
    return click.argument(
        "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
    )(command)


def read_roadmaps(files: tuple[Path, ...]) -> list[Roadmap]:
    """Read and check all files before any run starts.

    Raises:
        UsageError: files cannot be read or are invalid, with all faults of all files, or two
            files have the same roadmap id.
    """
    roadmaps: list[Roadmap] = []
    errors: list[UsageError] = []
    paths: dict[str, Path] = {}
    for path in files:
        try:
            roadmap = load_roadmap(path)
        except UsageError as error:
            errors.append(error)
            continue
        if roadmap.roadmap_id in paths:
            raise UsageError(
                f"{path}: roadmap_id must be unique, got {roadmap.roadmap_id!r}, "
                f"which {paths[roadmap.roadmap_id]} has too"
            )
        paths[roadmap.roadmap_id] = path
        roadmaps.append(roadmap)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UsageError("\n".join(str(error) for error in errors))
    return roadmaps
