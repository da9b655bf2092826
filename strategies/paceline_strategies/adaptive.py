"""The strategy ``adaptive``: finds how many calls the provider can take, over all workers."""

import secrets
from collections.abc import Sequence
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
from paceline.admission import SharedLimiter
from paceline.contracts.admission.limit_figures import LimitFigures
from pydantic import Field, model_validator

from paceline_strategies.limit_learner import LimitLearner
from paceline_strategies.limits import Aimd
from paceline_strategies.token_estimates import TokenEstimates


class KeyBounds(Options):
    """Bounds of the limit of one provider and model."""

    start: int | None = Field(default=None, ge=1, le=100_000)
    """Calls in flight at the start."""
    min: int | None = Field(default=None, ge=1, le=100_000)
    """Lower bound of the calls in flight."""
    max: int | None = Field(default=None, ge=1, le=100_000)
    """Upper bound of the calls in flight."""


class AdaptiveOptions(Options):
    """Options of ``adaptive``. They apply per model, to all workers together."""

    start: int = Field(default=8, ge=1, le=100_000)
    """Calls in flight at the start. The default is adjusted to lie between min and max."""
    min: int = Field(default=1, ge=1, le=100_000)
    """Lower bound of the calls in flight."""
    max: int = Field(default=1000, ge=1, le=100_000)
    """Upper bound of the calls in flight."""
    keys: dict[str, KeyBounds] = Field(default_factory=dict[str, KeyBounds])
    """Options of single models, by provider and model as in `"openai:gpt-4o"`. An option that is
    not set for a model is the common one."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for key in (None, *self.keys):
            least, start, most = self._numbers(key)
            if not least <= start <= most:
                of_key = "" if key is None else f'keys."{key}" '
                raise ValueError(
                    f"{of_key}must be min <= start <= max, got "
                    f"min = {least}, start = {start}, max = {most}"
                )
        return self

    def limit(self, key: str) -> Aimd:
        """The limit of a model at the start."""
        least, start, most = self._numbers(key)
        return Aimd(least=least, most=most, size=float(start))

    def _numbers(self, key: str | None) -> tuple[int, int, int]:
        """Lower bound, start and upper bound of a model; of the others for ``None``."""
        own = self.keys.get(key or "", KeyBounds())
        least, most = own.min or self.min, own.max or self.max
        if own.start is not None:
            return least, own.start, most
        common = "start" in self.model_fields_set and own.min is None and own.max is None
        return least, self.start if common else max(least, min(self.start, most)), most


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
                self._options.limit(work.key), self._ledger, key=work.key, holder=self._holder
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
        where = "over all workers" if self._ledger.shared else "in this process"
        models = [f"{key}: {model.explain(where)}" for key, model in self._models.items()]
        if not models:
            models.append(f"starting with {self._options.limit('').limit} calls")
        unused = (key for key in self._options.keys if key not in self._models)
        models += [f"{key}: starting with {self._options.limit(key).limit} calls" for key in unused]
        return "; ".join(models)

    def limits(self) -> Sequence[LimitFigures]:
        """The limit of each model in numbers, with the reason of its latest change."""
        return [
            one
            for key, model in self._models.items()
            for one in model.limiter.limits(key, "calls", reason=model.learner.latest_reason)
        ]

    async def close(self) -> None:
        """Release all leases."""
        for model in self._models.values():
            await model.learner.close()
            await model.limiter.close()


class _ModelLimit:
    """The limit of one model in this process."""

    def __init__(self, start: Aimd, ledger: Ledger, *, key: str, holder: str) -> None:
        name = f"adaptive:{key}"
        self.limiter = SharedLimiter(ledger, name=name, quota=self._quota, holder=holder)
        self.learner = LimitLearner(
            ledger,
            name=name,
            start=start,
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
