"""The strategy ``adaptive``: finds how many calls the provider can take, over all workers."""

import secrets
from typing import Self

from paceline import (
    Context,
    Done,
    Ledger,
    Level,
    Options,
    Outcome,
    Permit,
    Quota,
    Register,
    Strategy,
    Work,
    hookimpl,
)
from pydantic import Field, model_validator

from paceline_strategies.limit_learner import LimitLearner
from paceline_strategies.limits import Aimd
from paceline_strategies.shared_limiter import SharedLimiter
from paceline_strategies.token_estimates import TokenEstimates


class AdaptiveOptions(Options):
    """Options of ``adaptive``. They apply per model, to all workers together."""

    start: int = Field(default=8, ge=1, le=100_000)
    """Calls in flight at the start. The default is adjusted to lie between min and max."""
    min: int = Field(default=1, ge=1, le=100_000)
    """Lower bound of the calls in flight."""
    max: int = Field(default=1000, ge=1, le=100_000)
    """Upper bound of the calls in flight."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min <= self.first() <= self.max:
            raise ValueError(
                "must be min <= start <= max, got "
                f"min = {self.min}, start = {self.start}, max = {self.max}"
            )
        return self

    def first(self) -> int:
        """Calls in flight at the start, within the bounds."""
        if "start" in self.model_fields_set:
            return self.start
        return max(self.min, min(self.start, self.max))


class AdaptiveLimit(Strategy):
    """Holds the limit that it found for each model, by leases in the ledger.

    Args:
        holder: name of this process in the ledger; must be unique.
    """

    levels: frozenset[Level] = frozenset({"call"})
    shared: bool = True
    rate_limited = True  # it may find that the provider limits a rate
    holds_refusals = True

    def __init__(self, options: AdaptiveOptions, ledger: Ledger, *, holder: str) -> None:
        self._options = options
        self._ledger = ledger
        self._holder = holder
        self._estimates = TokenEstimates()
        self._models: dict[str, _ModelLimit] = {}

    async def admit(self, work: Work) -> Permit:
        """Wait until the limit of the work's model has room."""
        model = self._models.get(work.key)
        if model is None:
            model = self._models[work.key] = _ModelLimit(
                self._options, self._ledger, key=work.key, holder=self._holder
            )
        cost = self._estimates.reserve(work.key, work.step, work.tokens)
        permit = await model.limiter.admit(work, cost)
        call_ended = model.learner.call_started(work.step or "")

        def release(outcome: Outcome) -> None:
            call_ended(outcome)
            permit.release(outcome)
            if isinstance(outcome, Done):
                self._estimates.observe(
                    work.key, work.step, estimate=work.tokens, real=outcome.tokens
                )

        return Permit(release)

    def explain(self) -> str:
        """Describe the limit of each model, and its latest changes with their reasons."""
        if not self._models:
            return f"starting with {self._options.first()} calls"
        where = "over all workers" if self._ledger.shared else "in this process"
        return "; ".join(f"{key}: {model.explain(where)}" for key, model in self._models.items())

    async def close(self) -> None:
        """Release all leases."""
        for model in self._models.values():
            await model.learner.close()
            await model.limiter.close()


class _ModelLimit:
    """The limit of one model in this process."""

    def __init__(self, options: AdaptiveOptions, ledger: Ledger, *, key: str, holder: str) -> None:
        name = f"adaptive:{key}"
        self.limiter = SharedLimiter(ledger, name=name, quota=self._quota, holder=holder)
        self.learner = LimitLearner(
            ledger,
            name=name,
            start=Aimd(least=options.min, most=options.max, size=float(options.first())),
            permits_out=lambda: self.limiter.last.use.out,
            active=lambda: not self.limiter.idle,
        )

    def _quota(self) -> Quota:
        limit = self.learner.limit
        # The quota in the provider's headers applies too.
        return Quota(concurrency=limit.limit, requests=limit.rate.limit, follow=True)

    def explain(self, where: str) -> str:
        limit, use = self.learner.limit, self.limiter.last.use
        parts = [f"{limit.limit} calls {where}"]
        for quota, what in ((use.request_quota, "requests"), (use.token_quota, "tokens")):
            if quota is not None:
                parts.append(f"{quota} {what} a minute")
        parts += [f"{self.limiter.held} held here", f"{self.limiter.waiting} waiting"]
        reasons = self.learner.reasons()
        return ", ".join(parts) + (f" ({reasons})" if reasons else "")


def _make(options: AdaptiveOptions, context: Context) -> Strategy:
    # Not the worker's id alone: a restarted worker must not be taken for the previous one.
    holder = f"{context.worker_id or 'client'}-{secrets.token_hex(4)}"
    return AdaptiveLimit(options, context.ledger(), holder=holder)


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Register the strategy."""
    register(
        "adaptive",
        _make,
        options=AdaptiveOptions,
        summary="Finds how many calls the provider can take, over all workers.",
        advice="Keep the defaults; `paceline status` shows the limit it found and why. Set max if "
        "you pay for concurrency.",
    )
