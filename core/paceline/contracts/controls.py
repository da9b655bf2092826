"""Controls that an operator changes while workers run: pauses, limits, and who changed what.

The store keeps them, so they survive every restart. Each change has the next version. A worker
learns the newest version with its beat, and then reads the controls.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from paceline.contracts.share import DEFAULT_TENANT, check_tenant
from paceline.errors import UsageError

#: What a pause stops: all work, the runs of one tenant, or the calls of one model or resource.
PauseScope = Literal["everything", "tenant", "key"]

#: Maximum length of the name of a model or resource, of a reason, and of a name of an actor.
MAX_KEY, MAX_REASON, MAX_ACTOR = 200, 500, 200
#: Maximum number of pauses and limits that exist at once, together.
MAX_CONTROLS = 1000

#: The numbers that can be changed, with their bounds, as the settings have them.
LIMIT_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "concurrency": (1, 100_000),
    "requests_per_minute": (1, 10_000_000),
    "tokens_per_minute": (1, 1_000_000_000),
}


@dataclass(frozen=True, slots=True)
class PauseTarget:
    """What is paused.

    Attributes:
        scope: the kind of target.
        name: the tenant or the key; empty for everything. Runs without a tenant belong to
            ``default``. A key is provider and model, as ``openai:gpt-4o``, or ``resource:NAME``.

    Raises:
        UsageError: the name is missing or not allowed.
    """

    scope: PauseScope
    name: str = ""

    def __post_init__(self) -> None:
        """Check the name."""
        if self.scope == "everything":
            if self.name:
                raise UsageError(f"everything has no name, got {self.name[:MAX_KEY]!r}")
        elif self.scope == "tenant":
            check_tenant(self.name)
        else:
            check_key(self.name)

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}" if self.name else self.scope

    @classmethod
    def parse(cls, text: str) -> "PauseTarget":
        """Read ``everything``, ``tenant:NAME`` or ``key:KEY``.

        Raises:
            UsageError: the text is none of these.
        """
        scope, _, name = text.partition(":")
        if scope == "everything":
            return cls("everything", name)
        if scope == "tenant":
            return cls("tenant", name)
        if scope == "key":
            return cls("key", name)
        raise UsageError(
            f"a target must be everything, tenant:NAME or key:KEY, got {text[:MAX_KEY]!r}"
        )

    def describe(self) -> str:
        """``everything is``, ``tenant acme is`` or ``calls to openai:gpt-4o are``."""
        if self.scope == "everything":
            return "everything is"
        return f"tenant {self.name} is" if self.scope == "tenant" else f"calls to {self.name} are"


def time_version() -> int:
    """The smallest version of a change now: milliseconds since 1970.

    Versions rise with time, so that those of a new database are larger than those of the database
    that it replaces. The ledger may still know the latter.
    """
    return time.time_ns() // 1_000_000


def check_key(key: object) -> str:
    """Return the name of a model or resource if it is allowed.

    Raises:
        UsageError: it is not.
    """
    if (
        not isinstance(key, str)
        or not 1 <= len(key) <= MAX_KEY
        or not key.isprintable()
        or " " in key
        or ":" not in key
    ):
        shown = key[:MAX_KEY] if isinstance(key, str) else key
        raise UsageError(
            "a key must be provider and model, such as openai:gpt-4o, or resource:NAME, got "
            f"{shown!r}"
        )
    return key


def checked_text(name: str, text: str, most: int) -> str:
    """Return a text that is shown in one line, without spaces at its ends.

    Raises:
        UsageError: it is too long or not printable.
    """
    text = text.strip()
    if len(text) > most or not text.isprintable():
        raise UsageError(f"{name} must have at most {most} printable characters")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause that an operator or tenant requested.

    Attributes:
        target: what is paused.
        reason: why; empty if no reason was given.
        by: who paused it.
        at: when, in UTC.
        version: version of the change.
    """

    target: PauseTarget
    reason: str = ""
    by: str = ""
    at: datetime | None = None
    version: int = 0

    def describe(self) -> str:
        """``tenant acme is paused by alice: maintenance``."""
        because = f": {self.reason}" if self.reason else ""
        by = f" by {self.by}" if self.by else ""
        return f"{self.target.describe()} paused{by}{because}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOverride:
    """Numbers of one limit that replace those of the settings.

    Attributes:
        limit: ``global``, or ``resource:NAME``.
        key: the model that the numbers apply to, as ``Work.key``; empty for all models of
            ``global`` that have no numbers of their own.
        values: the numbers by the name of their setting. It is empty after a reset.
        by: who changed it.
        at: when, in UTC.
        version: version of the change. Of two quotas, the ledger applies the newer one.
    """

    limit: str
    key: str = ""
    values: Mapping[str, int] = field(default_factory=dict[str, int])
    by: str = ""
    at: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """All controls at one version.

    Attributes:
        version: number of the newest change; 0 before the first.
        pauses: what is paused.
        limits: the numbers that replace settings.
    """

    version: int = 0
    pauses: tuple[Pause, ...] = ()
    limits: tuple[LimitOverride, ...] = ()

    @property
    def all_paused(self) -> bool:
        """Whether everything is paused."""
        return any(pause.target.scope == "everything" for pause in self.pauses)

    def pause_of_run(self, tenant: str) -> Pause | None:
        """The pause that keeps all calls of a tenant's runs from starting, if there is one."""
        return next(
            (
                pause
                for pause in self.pauses
                if pause.target.scope == "everything"
                or (
                    pause.target.scope == "tenant"
                    and pause.target.name == (tenant or DEFAULT_TENANT)
                )
            ),
            None,
        )

    def pause_of_key(self, key: str) -> Pause | None:
        """The pause of one model or resource, if there is one."""
        target = PauseTarget("key", key) if ":" in key else None
        return next((pause for pause in self.pauses if pause.target == target), None)

    def limit(self, limit: str, key: str = "") -> LimitOverride | None:
        """The numbers of one limit and model, if they were ever changed."""
        return next((one for one in self.limits if (one.limit, one.key) == (limit, key)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log.

    Attributes:
        number: rises with each entry; the version of the controls after the change.
        at: when, in UTC, by the store's clock.
        by: who.
        action: what was done, such as ``pause`` or ``set-limit``.
        subject: what it was done to: a run, ``tenant:acme``, ``global openai:gpt-4o``, a worker.
        detail: the reason or the new numbers, in words.
        tenant: the tenant that it concerns; empty if it concerns all.
    """

    number: int = 0
    at: datetime | None = None
    by: str
    action: str
    subject: str
    detail: str = ""
    tenant: str = ""
