"""A part that is away: told when that begins and when it ends, however often it is asked."""

import logging

from paceline.errors import PacelineError


class OutageLog:
    """Tells of a part that is asked again and again: one line for each reason, one at the end.

    Args:
        log: where it is told.
        meanwhile: what becomes of the work, as ``it is tried again``.
    """

    def __init__(self, log: logging.Logger, meanwhile: str) -> None:
        self._log = log
        self._meanwhile = meanwhile
        self._told: list[str] = []

    def begins(self, why: PacelineError) -> None:
        """The part was asked in vain."""
        text = str(why)
        if text not in self._told:
            self._told.append(text)
            self._log.warning("%s; %s", text, self._meanwhile)

    def ends(self) -> None:
        """The part did what it was asked for."""
        if self._told:
            self._log.info("it is over: %s", self._told[0])
            self._told.clear()
