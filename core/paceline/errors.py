"""Every error that paceline raises on purpose.

An error's text is one or two plain sentences that name the place, the value and what is
allowed; it never holds a secret. The command line prints it as one line and exits with
``exit_code``.
"""

from collections.abc import Mapping, Sequence
from typing import Self


class PacelineError(Exception):
    """The common base. Its text may be shown to a user as it is."""

    exit_code = 1


# -- what the user gave us ---------------------------------------------------------------


class UsageError(PacelineError):
    """A command was asked for something that cannot be."""

    exit_code = 2


class SettingsError(UsageError):
    """A key or a value of the settings is wrong."""


class PluginError(UsageError):
    """A plugin is unknown, broken, incomplete or not installed."""


class RoadmapError(UsageError):
    """A roadmap is invalid.

    Args:
        source: the file or request that held it.
        faults: every fault found, each beginning with its path.
    """

    SHOWN = 50

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        shown = [f"  {fault}" for fault in self.faults[: self.SHOWN]]
        if len(self.faults) > self.SHOWN:
            shown.append(f"  … and {len(self.faults) - self.SHOWN} more")
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"{source}: {count}", *shown]))


class RunConflict(UsageError):
    """A roadmap id is known with other content."""


class KeyReused(UsageError):
    """A submission's key was used before, with another roadmap."""


class RunNotFound(UsageError):
    """No run has that id."""


# -- parts that do not answer ------------------------------------------------------------


class PartUnavailable(PacelineError):
    """A part (database, Redis, broker, provider) cannot be reached or refuses us."""


class SchemaVersionError(PartUnavailable):
    """The database's schema is older or newer than this paceline."""


class BudgetError(PartUnavailable):
    """The database connections of all processes together do not fit the server."""


class StaleFence(PacelineError):
    """The run has another owner by now: nothing was written."""


# -- one call to a provider --------------------------------------------------------------


class ProviderError(PacelineError):
    """An attempt at a provider brought no usable answer.

    Attributes:
        prompt_tokens: tokens of the prompt that the provider charged all the same.
        completion_tokens: tokens of the answer that it charged.
        estimated: whether these numbers are estimates.
    """

    prompt_tokens = 0
    completion_tokens = 0
    estimated = False

    def charge(self, prompt_tokens: int, completion_tokens: int, *, estimated: bool) -> Self:
        """Note what the failed attempt cost."""
        self.prompt_tokens, self.completion_tokens = prompt_tokens, completion_tokens
        self.estimated = estimated
        return self


class Refused(ProviderError):
    """The provider takes no call now (429, quota, overload); it may be asked again.

    Args:
        message: what it said.
        retry_after: seconds until it wants to be asked again, when it said so.
        ratelimits: its rate-limit headers, lower case.
    """

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        ratelimits: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.ratelimits = ratelimits or {}


class Transient(ProviderError):
    """The attempt failed in a way that another may not: a timeout, a cut connection, a 5xx."""


class Unreachable(Transient):
    """The attempt never reached the provider, which is down or restarts: nothing was paid."""


class Fatal(ProviderError):
    """No further attempt of this call can succeed."""


class RequestTooLong(Fatal):
    """Prompt and answer do not fit the model's context; a shorter request may."""


class ProviderUnusable(Fatal):
    """No call of any concept can succeed: a wrong key, an unknown model, no such address."""


class AccountExhausted(ProviderUnusable):
    """The account can pay for no further call: no credit, or the quota of the day is used up.

    Args:
        message: what the provider said, and what to do.
        reopens_in: seconds until the quota is renewed, if the provider said so.
    """

    def __init__(self, message: str, reopens_in: float | None = None) -> None:
        super().__init__(message)
        self.reopens_in = reopens_in


class UnusableAnswer(ProviderError):
    """The provider answered, and was paid, but the answer cannot be used.

    Args:
        kind: the fault's name: ``refusal``, ``truncated``, ``empty``, ``malformed``, or
            ``unreadable`` if the model is not to blame.
        message: what is wrong with it, in words that a model understands.
        answer: the text as it came.
        advice: what the user can change, for the reason of a concept that failed.
        highest: for ``truncated``: the largest ``max_tokens`` that can help; ``None`` if no
            limit is known.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        answer: str = "",
        *,
        advice: str = "",
        highest: int | None = None,
    ) -> None:
        super().__init__(f"{kind} answer: {message}")
        self.kind = kind
        self.problem = message
        self.answer = answer
        self.advice = advice
        self.highest = highest


def first_cause(error: BaseException) -> BaseException:
    """The first error in a group of groups that is no group itself: what made the others stop."""
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return first_cause(inner[0]) if inner else error
