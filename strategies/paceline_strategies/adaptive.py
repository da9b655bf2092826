"""Finds how many calls the provider takes, over all workers."""

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

from paceline_strategies.estimates import Estimates
from paceline_strategies.learner import Learner
from paceline_strategies.limits import Aimd
from paceline_strategies.shared import SharedLimiter


class AdaptiveOptions(Options):
    """Options of ``adaptive``, for each model and all workers together."""

    start: int = Field(default=8, ge=1, le=100_000)
    """Calls at once before anything is known of the provider; within the bounds, if not set."""
    min: int = Field(default=1, ge=1, le=100_000)
    """Calls at once that it never falls below."""
    max: int = Field(default=1000, ge=1, le=100_000)
    """Calls at once that it never rises above."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min <= self.first() <= self.max:
            raise ValueError(
                f"min = {self.min}, start = {self.start}, max = {self.max} must rise in this order"
            )
        return self

    def first(self) -> int:
        """Calls at once to begin with."""
        if "start" in self.model_fields_set:
            return self.start
        return max(self.min, min(self.start, self.max))


class AdaptiveLimit(Strategy):
    """Holds what it found that the provider takes, by leases in the ledger.

    Args:
        options: start and bounds.
        ledger: what the workers share.
        holder: this process's name in the ledger; must be its own.
    """

    levels: frozenset[Level] = frozenset({"call"})
    shared: bool = True
    rate_limited = True  # it may find a rate
    holds_refusals = True

    def __init__(self, options: AdaptiveOptions, ledger: Ledger, *, holder: str) -> None:
        self._options = options
        self._ledger = ledger
        self._holder = holder
        self._estimates = Estimates()
        self._models: dict[str, _Model] = {}

    async def admit(self, work: Work) -> Permit:
        """Wait until the work's model has room, as far as is known."""
        if work.level != "call":
            return Permit()
        model = self._models.get(work.key)
        if model is None:
            model = self._models[work.key] = _Model(
                self._options, self._ledger, key=work.key, holder=self._holder
            )
        cost = self._estimates.reserve(work.key, work.step, work.tokens)
        permit = await model.limiter.admit(work, cost)
        ended = model.learner.admitted(work.step or "")

        def release(outcome: Outcome) -> None:
            ended(outcome)
            permit.release(outcome)
            if isinstance(outcome, Done):
                self._estimates.observe(
                    work.key, work.step, estimate=work.tokens, real=outcome.tokens
                )

        return Permit(release)

    def explain(self) -> str:
        """Say the limit of each model now, and why it is that."""
        if not self._models:
            return f"{self._options.first()} calls to begin with"
        where = "over all workers" if self._ledger.shared else "in this process"
        return "; ".join(f"{key}: {model.explain(where)}" for key, model in self._models.items())

    async def close(self) -> None:
        """Give back all leases."""
        for model in self._models.values():
            await model.learner.close()
            await model.limiter.close()


class _Model:
    """One model's limit, as this process sees it."""

    def __init__(self, options: AdaptiveOptions, ledger: Ledger, *, key: str, holder: str) -> None:
        name = f"adaptive:{key}"
        self.limiter = SharedLimiter(ledger, name=name, quota=self._quota, holder=holder)
        self.learner = Learner(
            ledger,
            name=name,
            start=Aimd(least=options.min, most=options.max, size=float(options.first())),
            out=lambda: self.limiter.last.use.out,
            busy=lambda: not self.limiter.idle,
        )

    def _quota(self) -> Quota:
        limit = self.learner.limit
        # What the provider's headers say holds as well.
        return Quota(concurrency=limit.limit, requests=limit.rate.limit, follow=True)

    def explain(self, where: str) -> str:
        limit, use = self.learner.limit, self.limiter.last.use
        parts = [f"{limit.limit} calls {where}"]
        for quota, what in ((use.request_quota, "requests"), (use.token_quota, "tokens")):
            if quota is not None:
                parts.append(f"{quota} {what} a minute")
        parts += [f"{self.limiter.held} held here", f"{self.limiter.waiting} waiting"]
        told = self.learner.told()
        return ", ".join(parts) + (f" ({told})" if told else "")


def _make(options: AdaptiveOptions, context: Context) -> Strategy:
    # Not the worker's id alone: a worker that came back must not be taken for the one it was.
    holder = f"{context.worker_id or 'client'}-{secrets.token_hex(4)}"
    return AdaptiveLimit(options, context.ledger(), holder=holder)


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Offer the strategy."""
    register(
        "adaptive",
        _make,
        options=AdaptiveOptions,
        summary="Finds how many calls the provider takes, over all workers.",
        advice="leave the options alone, and read in `paceline status` what it finds and why; "
        "set max where you pay for what runs at once.",
    )
