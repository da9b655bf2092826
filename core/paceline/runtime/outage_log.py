"""Logs the outage of a part once, however often the part is tried meanwhile."""

import logging
import time
from collections.abc import Callable

from paceline.errors import PacelineError

#: Seconds without the error after which it is news again. On a nearly full disk, small writes
#: succeed between those that fail.
_QUIET = 60.0


class OutageLog:
    """One warning per reason while a part is unreachable, and one line when it is back.

    Args:
        log: the logger.
        meanwhile: what happens to the work, for example ``runs wait``.
        clock: seconds of any clock that goes forward.
    """

    def __init__(
        self, log: logging.Logger, meanwhile: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._meanwhile = meanwhile
        self._clock = clock
        self._last: dict[str, float] = {}  # reason → when it was the last time
        self._first: str | None = None  # the first reason that was logged in this outage

    def failed(self, error: PacelineError) -> None:
        """The part could not be reached."""
        reason, now = str(error), self._clock()
        self._last = {text: at for text, at in self._last.items() if now - at < _QUIET}
        if reason not in self._last:
            self._log.warning("%s; %s", reason, self._meanwhile)
            self._first = self._first or reason
        self._last[reason] = now

    def recovered(self) -> None:
        """The part was reached."""
        if self._first is not None:
            self._log.info("recovered (was: %s)", self._first)
            self._first = None
