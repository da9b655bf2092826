"""The strategy ``budget``: calls start only while there is money for them."""

import logging
from typing import Annotated

from paceline import (
    Context,
    Done,
    Failed,
    Level,
    Options,
    Outcome,
    Permit,
    Register,
    RunPaused,
    SettingsError,
    Strategy,
    Work,
    hookimpl,
)
from paceline.contracts.storage.budgets import (
    MAX_BUDGET,
    OPTIONS,
    WARN_AT,
    AccountFigures,
    BudgetLimits,
    BudgetScope,
    BudgetStore,
    Shortage,
    from_nanos,
    to_nanos,
)
from paceline.text import money
from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from paceline_strategies.budget_alert import BudgetAlert, check_url
from paceline_strategies.budget_exchange import BudgetExchange, NoMoney
from paceline_strategies.token_estimates import TokenEstimates

log = logging.getLogger("paceline.budget")

_LOW = f"budget: {WARN_AT:.0%} or more is used".replace("%", " %")


def _checked_url(url: SecretStr) -> SecretStr:
    if not check_url(url.get_secret_value()):
        # The error does not show the URL, because it may contain a token.
        raise PydanticCustomError("credentials", "must be http://HOST/PATH or https://HOST/PATH")
    return url


class ModelBudget(Options):
    """Limits of one provider and model, in ``provider.currency``."""

    per_run: float | None = Field(default=None, gt=0, le=MAX_BUDGET)
    """What one run may cost; `--budget` of a run replaces it."""
    per_tenant_per_day: float | None = Field(default=None, gt=0, le=MAX_BUDGET)
    """What all runs of one tenant may cost in a day in UTC."""
    per_day: float | None = Field(default=None, gt=0, le=MAX_BUDGET)
    """What all runs together may cost in a day in UTC."""
    per_month: float | None = Field(default=None, gt=0, le=MAX_BUDGET)
    """What all runs together may cost in a month in UTC."""

    def by_scope(self) -> dict[BudgetScope, int]:
        """The limits in nanos."""
        amounts: dict[BudgetScope, float | None] = {
            "run": self.per_run,
            "tenant-day": self.per_tenant_per_day,
            "day": self.per_day,
            "month": self.per_month,
        }
        return {scope: to_nanos(one) for scope, one in amounts.items() if one is not None}


class BudgetOptions(ModelBudget):
    """Options of ``budget``: any of the limits, all in ``provider.currency``."""

    keys: dict[str, ModelBudget] = Field(default_factory=dict[str, ModelBudget])
    """More limits of single models, by provider and model as in `"openai:gpt-4o"`."""
    warn_url: Annotated[SecretStr, AfterValidator(_checked_url)] | None = None
    """Address that receives a POST of JSON when 80 % of a limit is spent."""

    def budget_limits(self) -> BudgetLimits:
        """The limits in nanos."""
        keys = {key: one.by_scope() for key, one in self.keys.items()}
        return BudgetLimits(common=self.by_scope(), keys=keys)


class Budget(Strategy):
    """Reserves the money of each call before it starts, and settles it afterwards.

    A call waits while it only does not fit because of calls in flight. If it cannot fit, its run
    is paused.

    Args:
        limits: the limits; they must be the same in all workers.
        store: counts the money.
        worker_id: the worker. If it is lost, other workers settle its calls.
        currency: currency of the prices, for messages.
        warn_url: receives a POST when most of a limit is spent.
    """

    levels: frozenset[Level] = frozenset({"call"})

    def __init__(
        self,
        limits: BudgetLimits,
        store: BudgetStore,
        *,
        worker_id: str,
        currency: str = "USD",
        warn_url: str | None = None,
    ) -> None:
        self.budget_limits = limits
        self._limits = limits
        self._currency = currency
        self._estimates = TokenEstimates()
        self._exchange = BudgetExchange(store, limits, worker_id=worker_id, warn=self._warned)
        self._alert = None if warn_url is None else BudgetAlert(warn_url, currency)
        self._held = 0
        self._low: dict[str, str] = {}  # what was warned of, by scope and model

    async def admit(self, work: Work) -> Permit:
        """Wait until the money of the call is reserved.

        Raises:
            RunPaused: a limit is reached.
            SettingsError: the model has no price.
        """
        if work.cost is None:
            raise SettingsError(
                f"model {work.key} has no price, so its budget cannot be kept: set prompt_price "
                "and completion_price of the model"
            )
        estimate = max(1, to_nanos(work.cost)) if work.cost else 0

        def amount() -> int:
            return self._estimates.reserve(work.key, work.step, estimate) if estimate else 0

        try:
            id_, low = await self._exchange.reserve(work, amount)
        except NoMoney as error:
            raise RunPaused(
                self._reason(error.shortage), short_of=error.shortage.to_json()
            ) from None
        self._held += 1

        def release(outcome: Outcome) -> None:
            self._held -= 1
            cost = _cost(outcome)
            self._exchange.settle(id_, cost)
            if isinstance(outcome, Done) and cost:
                self._estimates.observe(work.key, work.step, estimate=estimate, real=cost)

        states = "; ".join(one.describe(self._currency) for one in low)
        return Permit(release, notice=f"{_LOW}: {states}" if low else None)

    def _reason(self, shortage: Shortage) -> str:
        """Why a run is paused, and what to do."""
        account, option = shortage.account, OPTIONS[shortage.account.scope]
        limit = self._money(shortage.limit)
        setting = f"strategies.budget.{option}"
        if account.key:
            setting = f'strategies.budget.keys."{account.key}".{option}'
        raise_it = f"raise {setting}"
        if account.scope == "run" and not account.key:
            raise_it = f"resume it with a larger --budget, or raise {setting}"
        if shortage.amount > shortage.limit:
            return (
                f"budget: one call may cost {self._money(shortage.amount)}, more than the whole "
                f"limit of {limit} ({option}); {raise_it}"
            )
        until = {"tenant-day": " or wait for the next day", "day": " or wait for the next day"}
        until |= {"month": " or wait for the next month"}
        return (
            f"budget: {self._money(shortage.spent)} of {limit} spent ({option}), and the next call "
            f"may cost {self._money(shortage.amount)}; {raise_it}{until.get(account.scope, '')}"
        )

    def _money(self, nanos: int) -> str:
        return money(from_nanos(nanos), self._currency)

    def _warned(self, figures: AccountFigures) -> None:
        account, text = figures.account, figures.describe(self._currency)
        log.warning("%s: %s", _LOW, text)
        if self._alert is not None:
            self._alert.send(figures)
        if account.scope in ("day", "month"):
            self._low[f"{account.scope} {account.key}"] = text

    def explain(self) -> str:
        """Describe the limits, and how many calls hold or wait for money here."""
        parts = [
            f"{OPTIONS[scope]} {self._money(limit)}" for scope, limit in self._limits.common.items()
        ]
        parts += [
            f"{key} {OPTIONS[scope]} {self._money(limit)}"
            for key, of_key in self._limits.keys.items()
            for scope, limit in of_key.items()
        ]
        held = f"{self._held} held here, {self._exchange.waiting} waiting"
        return "; ".join([", ".join([*parts, held]), *self._low.values()])

    async def close(self) -> None:
        """Settle what has ended, and send the last alerts."""
        await self._exchange.close()
        if self._alert is not None:
            await self._alert.close()


def _cost(outcome: Outcome) -> int | None:
    """What a call cost in nanos; ``None`` if it is unknown."""
    if isinstance(outcome, Done) or (isinstance(outcome, Failed) and outcome.arrived):
        return None if outcome.cost is None else to_nanos(outcome.cost)
    return 0


def _make(options: BudgetOptions, context: Context) -> Strategy:
    return Budget(
        options.budget_limits(),
        context.budgets(),
        worker_id=context.worker_id,
        currency=context.settings.provider.currency,
        warn_url=None if options.warn_url is None else options.warn_url.get_secret_value(),
    )


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Register the strategy."""
    register(
        "budget",
        _make,
        options=BudgetOptions,
        summary="Limits of money per run, tenant, day and month: runs pause before they exceed it.",
        advice="Put it before global and adaptive. Every model needs a price.",
    )
