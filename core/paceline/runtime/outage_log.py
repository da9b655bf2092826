"""Logs the outage of a part once, however often the part is tried meanwhile."""

import logging

from paceline.errors import PacelineError


class OutageLog:
    """One warning per reason while a part is unreachable, and one line when it is back.

    Args:
        log: the logger.
        meanwhile: what happens to the work, for example ``runs wait``.
    """

    def __init__(self, log: logging.Logger, meanwhile: str) -> None:
        self._log = log
        self._meanwhile = meanwhile
        self._reasons: list[str] = []

    def failed(self, error: PacelineError) -> None:
        """The part could not be reached."""
        reason = str(error)
        if reason not in self._reasons:
            self._reasons.append(reason)
            self._log.warning("%s; %s", reason, self._meanwhile)

    def recovered(self) -> None:
        """The part was reached."""
        if self._reasons:
            self._log.info("recovered (was: %s)", self._reasons[0])
            self._reasons.clear()
