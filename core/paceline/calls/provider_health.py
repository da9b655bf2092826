"""What the calls of a run tell about the provider: the rules that need the run's history.

================================================  =============================================
what happened                                     what the run does
================================================  =============================================
a call was refused or did not arrive              it is tried again for ``provider.patience``
no call was answered for ``provider.patience``    the run ends
key or model unusable, no call answered yet       the run ends
key or model unusable after answers               the call is tried again, up to
                                                  ``provider.attempts``; then the run ends
account exhausted                                 the run ends
a call failed for good                            its concept fails
the first 2 answers could not be used            a warning names the model and the problem
the first concepts all failed alike, none saved   the run ends; they stay pending
================================================  =============================================

A run that ends so lets calls in flight finish, saves their answers, and can be resumed.
"""

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from paceline.errors import (
    AccountExhausted,
    ProviderError,
    ProviderUnusable,
    Unreachable,
    UnusableAnswer,
)
from paceline.settings.model import ProviderSettings

log = logging.getLogger("paceline.provider")

#: Seconds of refusals or of an outage until a warning is logged.
LONG = 5.0
#: This many answers that cannot be used, before any that can, are worth a warning.
DOUBTFUL = 2
#: This many concepts that fail alike, before any answer was usable, end the run.
ALIKE = 3


@dataclass(slots=True)
class _Trouble:
    """A time during which calls are refused, or do not arrive."""

    since: float | None = None
    warned: str | None = None

    def lasts(self, error: ProviderError, wait: float, patience: float) -> float:
        """Count an attempt in vain; returns the seconds since the first one."""
        now = asyncio.get_running_loop().time()
        if self.since is None:
            self.since = now
        if self.warned is None and max(now - self.since, wait) > LONG:
            self.warned = str(error)
            log.warning("%s; trying again for up to %g s (provider.patience)", error, patience)
        return now - self.since

    def ends(self) -> None:
        """A call got through."""
        if self.since is not None and self.warned is not None:
            seconds = asyncio.get_running_loop().time() - self.since
            log.warning("the provider answers again after %.0f s (was: %s)", seconds, self.warned)
        self.since = self.warned = None


@dataclass(slots=True)
class ProviderHealth:
    """Shared by all calls of a run.

    Attributes:
        settings: patience and attempts.
        changed: called with ``trouble`` when it begins and ends.
        answers: number of calls that the model answered.
        answer_tokens: tokens of these answers.
        usable: number of answers that could be used.
        unusable: number of answers that the model was not able to write well.
        bound: the bound of an answer that a thinking model needed, of any step.
        bounds: the bound that an answer of a step needed after a shorter one was cut off.
    """

    settings: ProviderSettings
    changed: Callable[[str | None], None] = lambda _: None
    answers: int = 0
    answer_tokens: int = 0
    usable: int = 0
    unusable: int = 0
    bound: int = 0
    bounds: dict[str, int] = field(default_factory=dict[str, int])
    _refusals: _Trouble = field(default_factory=_Trouble)
    _outage: _Trouble = field(default_factory=_Trouble)
    #: Why calls wait in this process, and how many calls did that are not over.
    _cap: str | None = None
    _capped: int = 0
    _cap_warned: bool = False
    _back: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def trouble(self) -> str | None:
        """Why the calls wait, in the provider's words, if they have waited for long."""
        return self._outage.warned or self._refusals.warned or self._cap

    @contextmanager
    def waiting_for(self, reason: str | None) -> Generator[None]:
        """Make a call that waits in this process first, if there is a reason.

        The reason is warned of once per run, and is the run's trouble until these calls are over.
        """
        if reason is None:
            yield
            return
        if not self._cap_warned:
            self._cap_warned = True
            log.warning("calls wait for a connection: %s", reason)
        self._capped += 1
        self._limit(f"waiting for a connection: {reason}")
        try:
            yield
        finally:
            self._capped -= 1
            if not self._capped:
                self._limit(None)

    def _limit(self, cap: str | None) -> None:
        before, self._cap = self.trouble, cap
        if self.trouble != before:
            self.changed(self.trouble)

    def _ends(self, *troubles: _Trouble) -> None:
        before = self.trouble
        for one in troubles:
            one.ends()
        if self.trouble != before:
            self.changed(self.trouble)

    def _lasts(self, trouble: _Trouble, error: ProviderError, wait: float) -> float:
        before = self.trouble
        seconds = trouble.lasts(error, wait, self.settings.patience)
        if self.trouble != before:
            self.changed(self.trouble)
        return seconds

    def reached(self) -> None:
        """The provider was reached, whatever it answered."""
        self._ends(self._outage)
        self._back.set()

    async def until_back(self, seconds: float) -> None:
        """Wait during an outage, at most until another call arrives."""
        self._back.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._back.wait()

    @property
    def mean_answer(self) -> int:
        """Mean tokens of the answers so far, as an estimate of an answer that does not arrive."""
        return self.answer_tokens // self.answers if self.answers else 0

    def answered(self, tokens: int) -> None:
        """The model answered with this many tokens, and that was paid."""
        self.answers += 1
        self.answer_tokens += tokens
        self._ends(self._refusals)
        self.reached()

    def doubted(self, error: UnusableAnswer) -> None:
        """An answer could not be used; warn if the model seems to be too small."""
        if error.kind in {"refusal", "unreadable"}:  # says nothing about its ability
            return
        self.unusable += 1
        if self.unusable == DOUBTFUL and not self.usable:
            log.warning(
                "the first %d answers of model %s could not be used (%s); if this continues, "
                "choose a larger model",
                self.unusable,
                self.settings.model,
                error,
            )

    def refused(self, error: ProviderError, wait: float) -> None:
        """A call was refused, and waits.

        Raises:
            ProviderUnusable: all calls have been refused for ``provider.patience``.
        """
        seconds = self._lasts(self._refusals, error, wait)
        if seconds > self.settings.patience:
            raise ProviderUnusable(
                f"all calls were refused for {seconds:.0f} s, longer than provider.patience: "
                f"{error}"
            )

    def unreachable(self, error: Unreachable, wait: float) -> float:
        """A call did not arrive; returns the seconds that the outage has lasted.

        Raises:
            ProviderUnusable: no call has arrived for ``provider.patience``.
        """
        seconds = self._lasts(self._outage, error, wait)
        if seconds > self.settings.patience:
            raise ProviderUnusable(
                f"no call arrived for {seconds:.0f} s, longer than provider.patience: {error}"
            )
        return seconds

    def may_pass(self, error: ProviderUnusable) -> bool:
        """Whether an unusable key or model may be a hiccup, because calls were answered."""
        return self.answers > 0 and not isinstance(error, AccountExhausted)
