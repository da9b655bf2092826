"""Notices that the path of an SQLite file no longer leads to the file that is open."""

from pathlib import Path

from paceline.errors import StoreLost

from paceline_adapters.sql.url import Address


class OpenFile:
    """The file of a database. Commits to a file without a name succeed, and are lost at the end."""

    def __init__(self, address: Address) -> None:
        self._place = address.place
        # The process may change its working folder; SQLite keeps the absolute path.
        self._path = Path(address.file)
        self._identity: tuple[int, int] | None = None

    def check(self, *_: object) -> None:
        """Compare the file with the one that was there at the first check.

        Raises:
            StoreLost: the file was removed, renamed or replaced.
        """
        try:
            found = self._path.stat()
        except OSError:
            identity = None
        else:
            identity = (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        elif self._identity != identity:
            done = "removed or renamed" if identity is None else "replaced by another file"
            raise StoreLost(
                f"{self._place} was {done} while it was open, so nothing more can be saved; "
                "stop every paceline process that uses it, then start again"
            )
