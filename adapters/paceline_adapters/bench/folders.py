"""Temporary folders of a benchmark. The next one removes what a killed one left behind."""

import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from paceline.contracts.identity import ProcessIdentity, this_process

_PREFIX = "paceline-bench-"
#: Says which process made the folder.
_OWNER = ".paceline-bench.json"
_MAX_OWNER = 4096


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder that is removed at the end; those of dead benchmarks are removed first."""
    remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        (folder / _OWNER).write_text(json.dumps(asdict(this_process())))
        yield folder


def remove_abandoned() -> list[Path]:
    """Remove folders of benchmarks of this user and host if their process is gone.

    A folder without a readable note of its process stays: it may belong to another program.
    """
    removed: list[Path] = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = _owner_of(folder)
        if owner is not None and owner.is_gone():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _owner_of(folder: Path) -> ProcessIdentity | None:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return None
        with (folder / _OWNER).open(encoding="utf-8") as note:
            values = json.loads(note.read(_MAX_OWNER))
        return ProcessIdentity(
            host=str(values["host"]), pid=int(values["pid"]), started=float(values["started"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
