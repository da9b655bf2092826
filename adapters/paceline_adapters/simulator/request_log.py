"""The request log: one line of JSON for each request."""

import json
import time
from pathlib import Path
from typing import IO, Any


class RequestLog:
    """Appends to a file; each line is written when its request ends.

    Args:
        path: the file, or ``None`` to write nothing.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        # Line buffered, on the event loop: a write to the page cache costs less than a thread.
        self._file: IO[str] | None = None
        if path is not None:
            self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, **entry: Any) -> None:
        """Log a request that ends now; ``started`` and ``ended`` are seconds since 1970."""
        if self._file is not None:
            self._file.write(json.dumps({**entry, "ended": time.time()}) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
