"""The contract of budgets: money that calls reserve before they start, and what they cost.

Reservations and what was spent are rows of the store. Neither a killed worker nor a lost Redis
forgets them. Amounts are whole nanos: 1e-9 units of the currency of the settings' prices. Days and
months are in UTC, by the store's clock.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol, Self, runtime_checkable

from paceline.contracts.share import DEFAULT_TENANT
from paceline.contracts.storage.records import Claim, RunStatus
from paceline.contracts.storage.spending import Spent
from paceline.text import money

#: Nanos in one unit of the currency.
NANOS = 1_000_000_000
#: Share of a limit at which its use is reported once.
WARN_AT = 0.8
#: Maximum number of tenants with accounts that are read at once: those that spent most today.
MAX_TENANTS = 100
#: Largest budget, in units of the currency: the sums of nanos then fit 64 bits.
MAX_BUDGET = 1e9

#: What a limit is counted for: one run, one tenant or everything in a day, everything in a month.
BudgetScope = Literal["run", "tenant-day", "day", "month"]
#: What costs are summed up by.
CostsBy = Literal["run", "tenant", "model", "step", "day"]

#: The options of the limits, by scope.
OPTIONS: Mapping[BudgetScope, str] = {
    "run": "per_run",
    "tenant-day": "per_tenant_per_day",
    "day": "per_day",
    "month": "per_month",
}


def to_nanos(amount: float) -> int:
    """An amount of the currency in nanos."""
    return round(amount * NANOS)


def from_nanos(nanos: int) -> float:
    """Nanos as an amount of the currency."""
    return nanos / NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """Limits by scope, in nanos; a scope that is not contained is not limited.

    Attributes:
        common: limits of all models together. A run with a budget of its own has that one
            instead of ``run``.
        keys: limits of single models, by ``Work.key``.
    """

    common: Mapping[BudgetScope, int] = field(default_factory=dict[BudgetScope, int])
    keys: Mapping[str, Mapping[BudgetScope, int]] = field(
        default_factory=dict[str, Mapping[BudgetScope, int]]
    )


@runtime_checkable
class HasBudgetLimits(Protocol):
    """Options of a strategy that reserves money; processes without a worker read them, too."""

    def budget_limits(self) -> BudgetLimits:
        """The limits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAccount:
    """One thing that money is counted for.

    Attributes:
        scope: what it is counted for.
        subject: id of the run, or name of the tenant; empty for other scopes.
        key: the model, as ``Work.key``; empty for all models.
        period: the day as ``2026-11-30`` or the month as ``2026-11``; empty for a run.
    """

    scope: BudgetScope
    subject: str = ""
    key: str = ""
    period: str = ""

    @property
    def name(self) -> str:
        """Name of the account; each account has another one."""
        return json.dumps([self.scope, self.period, self.subject, self.key], ensure_ascii=False)

    @classmethod
    def of(cls, name: str) -> Self:
        """The account with this name."""
        scope, period, subject, key = json.loads(name)
        return cls(scope=scope, period=period, subject=subject, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyRequest:
    """A call that asks for money.

    Attributes:
        id: unique over all processes and for ever.
        run_id: the run of the call.
        tenant: tenant of the run; empty without tenants.
        key: the model, as ``Work.key``.
        amount: what the call may cost.
    """

    id: str
    run_id: str
    tenant: str = ""
    key: str = ""
    amount: int

    def account(self, scope: BudgetScope, day: str, *, key: str = "") -> BudgetAccount:
        """The account of a scope on a day."""
        subject = {"run": self.run_id, "tenant-day": self.tenant or DEFAULT_TENANT}.get(scope, "")
        return BudgetAccount(scope=scope, subject=subject, key=key, period=period_of(scope, day))

    def accounts(
        self, limits: BudgetLimits, budget: int | None, day: str
    ) -> dict[BudgetAccount, int]:
        """The accounts that must have room for the call, with their limits.

        Args:
            limits: the limits of the settings.
            budget: the run's own budget; ``None`` if it has none.
            day: the day in UTC.
        """
        common = dict(limits.common)
        if budget is not None:
            common["run"] = budget
        found = {self.account(scope, day): limit for scope, limit in common.items()}
        for scope, limit in limits.keys.get(self.key, {}).items():
            found[self.account(scope, day, key=self.key)] = limit
        return found


def period_of(scope: BudgetScope, day: str) -> str:
    """The period of an account on a day: the day, its month, or nothing for a run."""
    return {"run": "", "month": day[:7]}.get(scope, day)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneySpent:
    """What a call has cost.

    Attributes:
        id: id of its request.
        cost: the cost; ``None`` if it is unknown: then it counts as reserved.
    """

    id: str
    cost: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A limit that a call does not fit, whatever the calls in flight will cost.

    Attributes:
        account: the account with the limit.
        limit: the limit.
        spent: what was spent of it.
        amount: what the call may cost.
    """

    account: BudgetAccount
    limit: int
    spent: int
    amount: int

    def to_json(self) -> str:
        """The shortage as text."""
        return json.dumps({**asdict(self), "account": self.account.name})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The shortage of a text."""
        values = json.loads(text)
        return cls(
            account=BudgetAccount.of(values["account"]),
            limit=values["limit"],
            spent=values["spent"],
            amount=values["amount"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFigures:
    """How much of a limit is used.

    Attributes:
        account: the account.
        limit: the limit.
        spent: what was spent.
        reserved: what calls in flight have reserved.
    """

    account: BudgetAccount
    limit: int
    spent: int = 0
    reserved: int = 0

    @property
    def low(self) -> bool:
        """Whether so much is used that it is reported."""
        return self.spent >= WARN_AT * self.limit

    def describe(self, currency: str) -> str:
        """``85.2000 USD of 100.0000 USD spent (per_day 2026-11-30)``."""
        account = self.account
        place = " ".join(filter(None, [OPTIONS[account.scope], account.key, account.period]))
        if account.subject:
            place += f" of {account.subject}"
        spent, limit = (money(from_nanos(one), currency) for one in (self.spent, self.limit))
        return f"{spent} of {limit} spent ({place})"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyAnswers:
    """The answer to requests for money.

    Attributes:
        granted: ids of the requests with a reserved amount.
        short: limits that requests do not fit, by id. Requests that are neither granted nor
            short fit as soon as calls in flight cost less than they reserved.
        warnings: accounts that now have used ``WARN_AT`` of their limit. Each is reported once,
            and once more if its limit is raised.
    """

    granted: frozenset[str] = frozenset()
    short: Mapping[str, Shortage] = field(default_factory=dict[str, Shortage])
    warnings: Sequence[AccountFigures] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """What one run, tenant, model, step or day has cost.

    Attributes:
        name: its id or name; empty if it is unknown.
        spent: the sum. Its cost is ``None`` if no call had a price.
    """

    name: str
    spent: Spent


class BudgetStore(ABC):
    """Counts money."""

    @abstractmethod
    async def exchange_money(
        self,
        worker_id: str,
        limits: BudgetLimits,
        *,
        requests: Sequence[MoneyRequest] = (),
        spent: Sequence[MoneySpent] = (),
    ) -> MoneyAnswers:
        """Settle calls that have ended, then reserve for calls that wait, in one transaction.

        A request is granted if what was spent and reserved leaves room for it in every account,
        in the order of ``requests``. Both parts may be repeated: an id is reserved and settled
        once. A new account begins with what the store already knows to be spent.

        Args:
            worker_id: the worker that makes the calls. If it is lost, ``settle_lost`` counts
                what it has reserved as spent.
            limits: the limits. They must be the same in all workers.
            requests: calls that wait.
            spent: calls that have ended.
        """

    @abstractmethod
    async def settle_lost(self, *, lease: float) -> int:
        """Count as spent what lost workers have reserved, because their calls may be billed.

        A worker is lost if it is not registered, if its last beat is older than ``lease``
        seconds, or if it was a process of this host that has exited.

        Returns:
            Number of calls that were settled.
        """

    @abstractmethod
    async def set_budget(self, run_id: str, budget: float) -> None:
        """Give a run a budget of its own, in units of the currency.

        Raises:
            RunNotFound: no run has that id.
        """

    @abstractmethod
    async def pause_short(self, claim: Claim, shortage: Shortage, reason: str) -> RunStatus | None:
        """Pause the run of a claim, until ``resume_affordable`` or a user's command queues it.

        If its cancel or pause was requested, it is cancelled, or paused for that reason.

        Returns:
            The new status of the run; ``None`` if the claim does not own it any more.
        """

    @abstractmethod
    async def resume_affordable(
        self, executor: str, limits: BudgetLimits, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[str], str]:
        """Queue runs again that lacked money, if their account has room for a call now.

        Args:
            executor: only runs of this executor.
            limits: the limits now.
            after: looks at runs with larger ids.
            limit: maximum number of runs to look at.

        Returns:
            Ids of the runs that were queued, and ``after`` of the next look.
        """

    @abstractmethod
    async def account_figures(
        self, limits: BudgetLimits, *, tenants: Sequence[str] = ()
    ) -> Sequence[AccountFigures]:
        """How much of each limit is used today and in this month, without those of runs.

        Args:
            limits: the limits.
            tenants: accounts of these tenants; the empty name stands for runs without a tenant.
                If there are none, those of the ``MAX_TENANTS`` tenants that spent most today.
        """

    @abstractmethod
    async def costs(
        self,
        by: CostsBy,
        *,
        tenants: Sequence[str] = (),
        since: str | None = None,
        until: str | None = None,
        limit: int = 1000,
    ) -> Sequence[CostLine]:
        """Sum up what calls have cost, of purged runs too unless ``by`` is ``run``.

        Args:
            by: what to sum up by. Runs and days come newest first, others by name.
            tenants: only these tenants; the empty name matches runs without a tenant.
            since: first day, as ``2026-11-30``. Runs are chosen by the day of their submission.
            until: last day.
            limit: maximum number of lines.
        """

    @abstractmethod
    async def costs_of_steps(self) -> Mapping[tuple[str, str], Spent]:
        """What all calls so far have cost, by model and step, of purged runs too.

        The sum of a model never falls. Calls without an artifact have an empty model: they move
        to the model of their step's artifact when it is saved.
        """


def names_model(key: str, reported: str) -> bool:
    """Whether the model that a provider reported is the one of a key, as ``Work.key``.

    Providers report dated names, too: ``gpt-4o-2024-08-06`` is ``openai:gpt-4o``. The name of the
    settings' model that may follow the key's model after ``@`` is not part of it.
    """
    model = key.partition(":")[2]
    names = {model, model.rpartition("@")[0]} - {""}
    return any(
        reported == name
        or (reported.startswith(f"{name}-") and reported[len(name) + 1 : len(name) + 2].isdigit())
        for name in names
    )


def accounts_now(
    limits: BudgetLimits, day: str, tenants: Sequence[str]
) -> dict[BudgetAccount, int]:
    """The accounts of a day, its month and these tenants, with their limits."""
    found: dict[BudgetAccount, int] = {}
    for key, of_key in {"": limits.common, **limits.keys}.items():
        for scope, limit in of_key.items():
            subjects = {"run": (), "tenant-day": tenants}.get(scope, ("",))
            for subject in subjects:
                name = subject or DEFAULT_TENANT if scope == "tenant-day" else ""
                period = period_of(scope, day)
                account = BudgetAccount(scope=scope, subject=name, key=key, period=period)
                found[account] = limit
    return found


def short_of(
    request: MoneyRequest, accounts: Mapping[BudgetAccount, int], spent: Mapping[BudgetAccount, int]
) -> Shortage | None:
    """The first limit that a request cannot fit, even if calls in flight cost nothing."""
    for account, limit in accounts.items():
        if spent[account] + request.amount > limit:
            return Shortage(
                account=account, limit=limit, spent=spent[account], amount=request.amount
            )
    return None


def must_warn(spent: int, limit: int, warned: int | None) -> bool:
    """Whether to report the use of a limit; ``warned`` is the limit that was reported last."""
    return spent >= WARN_AT * limit and (warned is None or warned < limit)


def limit_now(shortage: Shortage, limits: BudgetLimits, budget: int | None) -> int | None:
    """The limit of the account of a shortage now; ``None`` if it has none any more."""
    account = shortage.account
    if account.key:
        return limits.keys.get(account.key, {}).get(account.scope)
    if account.scope == "run" and budget is not None:
        return budget
    return limits.common.get(account.scope)
