"""Every error that paceline raises on purpose.

The text of an error names the place, the value and what is allowed. It never contains a
secret. The command line prints it and exits with ``exit_code``.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Self


class PacelineError(Exception):
    """The common base class. The text may be shown to a user unchanged."""

    exit_code = 1


# -- wrong input -------------------------------------------------------------------------


class UsageError(PacelineError):
    """A command, an argument or a request is wrong."""

    exit_code = 2


class NotAllowed(UsageError):
    """The caller may not do this: it needs a client of all tenants."""


class SettingsError(UsageError):
    """A key or a value in the settings is wrong.

    Args:
        problem: the place, the value and what is allowed.
        fix: what to change, in one line; empty if the problem says so.
    """

    def __init__(self, problem: str, *, fix: str = "") -> None:
        super().__init__(f"{problem}: {fix}" if fix else problem)
        self.problem = problem
        self.fix = fix


class PluginError(UsageError):
    """A plugin is unknown, broken, incomplete or not installed."""


class RoadmapError(UsageError):
    """A roadmap is invalid.

    Args:
        source: name of the file or request.
        faults: all faults found; each begins with its path.
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


class ContextError(UsageError):
    """The context of a run is invalid.

    Args:
        faults: all faults found; each begins with its path.
    """

    SHOWN = 10

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        more = len(self.faults) - self.SHOWN
        also = [f"and {more} more"] if more > 0 else []
        super().__init__("; ".join([*self.faults[: self.SHOWN], *also]))


class ScopeError(UsageError):
    """The steps or parts that a run should cover do not exist."""


class RunConflict(UsageError):
    """The roadmap id already has a run with other content or another context."""


class KeyReused(UsageError):
    """The idempotency key belongs to a run with other content, context or share."""


class RunInWork(UsageError):
    """The run is queued or running, and must not be."""


class RunNotFound(UsageError):
    """No run has that id."""


# -- parts that cannot be reached --------------------------------------------------------


class PartUnavailable(PacelineError):
    """A part (database, Redis, broker, server) cannot be reached or refuses the connection."""


class PartRejected(PartUnavailable):
    """A part rejects what this process sends: its password, its user or its commands.

    Trying again cannot help, only other settings can.
    """


class DatabaseNotFound(PartUnavailable):
    """The database does not exist yet, and the caller only reads or steers runs."""


class StoreLost(PartUnavailable):
    """The store that this process opened is gone for good: only a new start can help."""


class SinkUnavailable(PartUnavailable):
    """A sink is down. What it did not accept is delivered again after a pause.

    Args:
        message: why, with its address.
        retry_after: seconds that the receiver asks to wait, if it named them.
        delivered: ids of the deliveries of the batch that it accepted before.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        delivered: Collection[str] = (),
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.delivered = frozenset(delivered)


class SchemaVersionError(PartUnavailable):
    """The database schema is older or newer than this version of paceline needs."""


class BudgetError(PartUnavailable):
    """The database server allows too few connections for all processes together."""


class RunPaused(PacelineError):
    """No further call of a run may start for now. Its calls in flight end and are saved.

    A strategy raises it in ``admit``; the run is then paused with this reason.

    Args:
        reason: why, and what to do, in one line.
        short_of: the ``Shortage`` as JSON, if the run lacks money: workers then continue the run
            when there is enough.
        held: whether the tenant of the run is paused: workers then continue the run when that
            pause is lifted.

    Otherwise only a user's command continues the run.
    """

    exit_code = 3

    def __init__(self, reason: str, *, short_of: str | None = None, held: bool = False) -> None:
        super().__init__(reason)
        self.short_of = short_of
        self.held = held


class StaleFence(PacelineError):
    """Another worker owns the run now. Nothing was written."""


# -- one call to a provider --------------------------------------------------------------


class ProviderError(PacelineError):
    """An attempt at a provider gave no usable answer.

    Attributes:
        prompt_tokens: tokens of the prompt that the provider charged all the same.
        completion_tokens: tokens of the answer that it charged.
        estimated: whether these numbers are estimates.
        sent: whether the attempt was sent. If it was not, it does not count as one.
    """

    prompt_tokens = 0
    completion_tokens = 0
    estimated = False
    sent = True

    def charge(self, prompt_tokens: int, completion_tokens: int, *, estimated: bool) -> Self:
        """Note what the failed attempt cost."""
        self.prompt_tokens, self.completion_tokens = prompt_tokens, completion_tokens
        self.estimated = estimated
        return self


class Refused(ProviderError):
    """The provider refuses calls for now (429, quota, overload). The call is retried.

    Args:
        message: the provider's message.
        retry_after: seconds to wait before the next attempt, if the provider named them.
        rate_limit_headers: rate-limit headers of the response, with lower-case names.
    """

    def __init__(
        self,
        message: str = "the provider refuses calls for now",
        retry_after: float | None = None,
        rate_limit_headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.rate_limit_headers = rate_limit_headers or {}


class Transient(ProviderError):
    """The attempt failed, but another one may succeed: a timeout, a lost connection, a 5xx."""


class Unreachable(Transient):
    """The attempt did not reach the provider (it is down or restarting). It cost nothing."""


class Fatal(ProviderError):
    """No further attempt of this call can succeed. The concept fails."""


class RequestTooLong(Fatal):
    """Prompt and answer do not fit the model's context; a shorter request may."""


class ProviderUnusable(Fatal):
    """No call of any concept can succeed: a wrong key, an unknown model, a wrong address."""


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
    """The provider answered and charged for it, but the answer cannot be used.

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
    """The first error in nested exception groups: the one that stopped the others."""
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return first_cause(inner[0]) if inner else error
