"""Zip files with the same bytes for the same content."""

import shutil
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile

#: Packages up to this size stay in memory.
_IN_MEMORY = 8 * 2**20
_PIECE = 2**18
#: The first moment that a zip file can hold; the real one would differ between exports.
_TIME = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o644 << 16


class Package:
    """A zip file in the making."""

    def __init__(self, file: zipfile.ZipFile, raw: "SpooledTemporaryFile[bytes]") -> None:
        self._file = file
        self._raw = raw

    def add(self, name: str, content: bytes) -> None:
        """Add a file."""
        self._file.writestr(_entry(name), content)

    def add_file(self, path: Path) -> None:
        """Add a file of the disk, under its own name."""
        with path.open("rb") as source, self._file.open(_entry(path.name), "w") as target:
            shutil.copyfileobj(source, target)

    def pieces(self) -> Iterator[bytes]:
        """End the package, and read it."""
        self._file.close()
        self._raw.seek(0)
        while piece := self._raw.read(_PIECE):
            yield piece


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = _READABLE
    return info


@contextmanager
def package() -> Generator[Package]:
    """Make a package; a large one is on disk until the block ends."""
    with SpooledTemporaryFile(_IN_MEMORY) as raw, zipfile.ZipFile(raw, "w") as file:
        yield Package(file, raw)
