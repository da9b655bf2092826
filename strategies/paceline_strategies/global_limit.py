"""The strategy ``global``: one quota over all workers."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from paceline import (
    Context,
    Done,
    Fatal,
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
from paceline.admission import LiveControls, SharedLimiter
from paceline.contracts.admission.limit_figures import LimitFigures
from pydantic import Field

from paceline_strategies.token_estimates import TokenEstimates

#: Calls at once if no limit is set.
DEFAULT_CONCURRENCY = 64

_REASONS = {
    "": "",
    "concurrency": "all permits are in use",
    "requests": "the requests of this minute are used up",
    "tokens": "the tokens of this minute are used up",
    "pace": "spreading calls over the minute",
    "refused": "pausing because the provider refused a call",
    "unknown": "the ledger lost its data and waits until earlier leases are renewed or expired",
}


class KeyLimits(Options):
    """Limits of one provider and model."""

    concurrency: int | None = Field(default=None, ge=1, le=100_000)
    """Calls that all workers together have in flight; 64 if no other limit is set."""
    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    """Calls that all workers together start in any minute: the provider's RPM quota."""
    tokens_per_minute: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Tokens of these calls (prompt plus longest answer): the provider's TPM quota."""


class GlobalOptions(KeyLimits):
    """Options of ``global``: any of the three limits, counted per model."""

    keys: dict[str, KeyLimits] = Field(default_factory=dict[str, KeyLimits])
    """Limits of single models, by provider and model as in `"openai:gpt-4o"`. An option that is
    not set for a model is the common one."""

    def quota(self) -> Quota:
        """The quota of each model without limits of its own."""
        return _quota(self)

    def quotas(self) -> dict[str, Quota]:
        """The quota of each model with limits of its own."""
        common = self.model_dump(exclude={"keys"})
        return {
            key: _quota(KeyLimits(**{**common, **limits.model_dump(exclude_none=True)}))
            for key, limits in self.keys.items()
        }


def _quota(limits: KeyLimits) -> Quota:
    quota = Quota(
        concurrency=limits.concurrency,
        requests=limits.requests_per_minute,
        tokens=limits.tokens_per_minute,
    )
    return Quota(concurrency=DEFAULT_CONCURRENCY) if quota == Quota() else quota


class GlobalLimit(Strategy):
    """One quota per model over all workers, by leases in the ledger.

    Args:
        quota: the quota of each model that ``keys`` does not contain.
        holder: name of this process in the ledger; must be unique.
        keys: quotas of single models, by ``Work.key``.
        controls: limits that an operator changed.
    """

    levels: frozenset[Level] = frozenset({"call"})
    shared: bool = True
    holds_refusals = True

    def __init__(
        self,
        quota: Quota,
        ledger: Ledger,
        *,
        holder: str,
        keys: Mapping[str, Quota] = MappingProxyType({}),
        controls: LiveControls | None = None,
    ) -> None:
        self._controls = controls or LiveControls()
        self.rate_limited = any(
            one.requests is not None or one.tokens is not None for one in (quota, *keys.values())
        )
        self._quota = quota
        self._keys = keys
        self._ledger = ledger
        self._holder = holder
        self._estimates = TokenEstimates()
        self._limiters: dict[str, SharedLimiter] = {}

    async def admit(self, work: Work) -> Permit:
        """Wait until the quota of the work's model has room.

        Raises:
            Fatal: the call alone needs more tokens than the quota of a minute.
        """
        limiter = self._limiters.get(work.key)
        if limiter is None:
            limiter = SharedLimiter(
                self._ledger,
                name=f"global:{work.key}",
                quota=lambda: self._quota_of(work.key),
                holder=self._holder,
            )
            self._limiters[work.key] = limiter
        self._check(work)
        permit = await limiter.admit(work, lambda: self._cost(work))

        def release(outcome: Outcome) -> None:
            permit.release(outcome)
            if isinstance(outcome, Done):
                self._estimates.observe(
                    work.key, work.step, estimate=work.tokens, real=outcome.tokens
                )

        return Permit(release)

    def _quota_of(self, key: str) -> Quota:
        quota = self._keys.get(key)
        if quota is None:
            quota = self._controls.quota("global", self._quota)
        return self._controls.quota("global", quota, key=key)

    def _cost(self, work: Work) -> int:
        """The tokens to reserve by the current estimate; at most the quota of a minute."""
        cost = self._estimates.reserve(work.key, work.step, work.tokens)
        most = self._quota_of(work.key).tokens
        return cost if most is None else min(cost, most)

    def _check(self, work: Work) -> None:
        most = self._quota_of(work.key).tokens
        # The lower of its own estimate and the corrected one.
        cost = min(work.tokens, self._estimates.reserve(work.key, work.step, work.tokens))
        if most is not None and cost > most:
            section = "strategies.global"
            if most != self._quota.tokens:
                section += f'.keys."{work.key}"'
            fix = "raise that setting"
            if most != self._keys.get(work.key, self._quota).tokens:
                section, fix = "the changed limit", "raise it with paceline limits set"
            raise Fatal(
                f"one {work.step or 'call'} for {work.key} needs about {cost} tokens, more than "
                f"{section}.tokens_per_minute = {most}, so it can never start; {fix} "
                "or lower the longest answer"
            )

    def explain(self) -> str:
        """Describe the limits, their use here and in all workers, and why calls wait."""
        where = "over all workers" if self._ledger.shared else "in this process"
        limiters = self._limiters.values()
        held = sum(limiter.held for limiter in limiters)
        waiting = sum(limiter.waiting for limiter in limiters)
        expired = sum(limiter.expired for limiter in limiters)
        common = self._controls.quota("global", self._quota)
        parts = [f"{_limits(common)} {where}", f"{held} held here", f"{waiting} waiting"]
        if expired:
            parts.append(f"{expired} leases expired too early")
        keys = dict.fromkeys([*self._keys, *self._limiters, *self._changed()])
        models = [self._model(key, self._limiters.get(key)) for key in keys]
        return "; ".join([", ".join(parts), *filter(None, models)])

    def limits(self) -> Sequence[LimitFigures]:
        """The quota of each model in numbers."""
        return [
            one
            for key, limiter in self._limiters.items()
            for one in limiter.limits(
                key, "calls", reason=_REASONS[limiter.last.reason] if limiter.waiting else ""
            )
        ]

    def _model(self, key: str, limiter: SharedLimiter | None) -> str:
        """One model's own limits, the use of its quota per minute, and why its calls wait."""
        changed = self._controls.now.limit("global", key)
        own = key in self._keys or (changed is not None and changed.values)
        parts = [_limits(self._quota_of(key))] if own else []
        if limiter is not None:
            parts += _use(limiter)
        return f"{key}: {', '.join(parts)}" if parts else ""

    def _changed(self) -> Sequence[str]:
        """The models with changed limits."""
        changed = (one for one in self._controls.now.limits if one.limit == "global" and one.values)
        return [one.key for one in changed if one.key]

    def limits_changed(self) -> None:
        """Bring the ledger the changed quotas."""
        for limiter in self._limiters.values():
            limiter.quota_changed()

    async def close(self) -> None:
        """Release all leases."""
        for limiter in self._limiters.values():
            await limiter.close()


def _limits(quota: Quota) -> str:
    numbers = (
        (quota.concurrency, "calls"),
        (quota.requests, "requests a minute"),
        (quota.tokens, "tokens a minute"),
    )
    return ", ".join(f"{number} {what}" for number, what in numbers if number is not None)


def _use(limiter: SharedLimiter) -> Iterator[str]:
    use = limiter.last.use
    for name, used, quota in (
        ("requests", use.requests, use.request_quota),
        ("tokens", use.tokens, use.token_quota),
    ):
        if quota is not None:
            yield f"{used} of {quota} {name} used"
    if limiter.unreachable:
        yield "the ledger does not answer"
    elif limiter.waiting and _REASONS[limiter.last.reason]:
        yield _REASONS[limiter.last.reason]


def _make(options: GlobalOptions, context: Context) -> Strategy:
    # Not the worker's id alone: a restarted worker must not be taken for the previous one.
    holder = f"{context.worker_id or 'client'}-{secrets.token_hex(4)}"
    return GlobalLimit(
        options.quota(),
        context.ledger(),
        holder=holder,
        keys=options.quotas(),
        controls=context.controls,
    )


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Register the strategy."""
    register(
        "global",
        _make,
        options=GlobalOptions,
        summary="One quota over all workers: calls at once, requests and tokens per minute.",
        advice="Copy the limits from your provider's account page, under keys if they differ "
        "between models. If it names none, use adaptive.",
    )
