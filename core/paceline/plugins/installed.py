"""Whether any third-party plugin is installed, found without reading all metadata."""

import os
import sys
from functools import cache

#: How a package's file of entry points names ours.
_GROUP = b"[paceline"
_FOLDERS = (".dist-info", ".egg-info")


def any_third_party() -> bool:
    """Whether a package on the path may offer a plugin.

    ``importlib.metadata`` takes longer to import than ``paceline --help`` needs in all, so this
    looks for the group's name in the files of entry points. It may find one too many, and then the
    metadata is read.
    """
    return _any_on(tuple(sys.path))


@cache
def _any_on(path: tuple[str, ...]) -> bool:
    return any(_offers(folder) for folder in path)


def _offers(folder: str) -> bool:
    try:
        packages = [one.path for one in os.scandir(folder or ".") if one.name.endswith(_FOLDERS)]
    except NotADirectoryError:
        return True  # an archive: its metadata must be read
    except OSError:
        return False
    return any(_names_us(package) for package in packages)


def _names_us(package: str) -> bool:
    try:
        with open(os.path.join(package, "entry_points.txt"), "rb") as file:  # noqa: PTH118, PTH123
            return _GROUP in file.read()
    except OSError:
        return False
