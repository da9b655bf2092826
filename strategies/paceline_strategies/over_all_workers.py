"""One quota over all workers: calls at once, requests and tokens per minute."""

import secrets

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
from pydantic import Field

from paceline_strategies.estimates import Estimates
from paceline_strategies.shared import SharedLimiter

#: Calls at once where nothing else is limited.
CONCURRENCY = 64

_WAITS = {
    "": "",
    "concurrency": "all calls that may be out are",
    "requests": "the requests of this minute are used",
    "tokens": "the tokens of this minute are used",
    "pace": "calls are spread over the minute",
    "refused": "the provider refused and wants a pause",
    "unknown": "the ledger lost its data and waits for leases of before",
}


class GlobalOptions(Options):
    """Options of ``global``: any of the three limits, counted for each model."""

    concurrency: int | None = Field(default=None, ge=1, le=100_000)
    """Calls that all workers together have out at once; 64 where no other limit is set."""
    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    """Calls that all workers together start in any minute, as the provider's quota has it."""
    tokens_per_minute: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Tokens of these calls: prompt plus longest answer, which is what providers charge."""


class GlobalLimit(Strategy):
    """Holds one quota per model over all workers, by leases in the ledger.

    Args:
        quota: what may be used.
        ledger: what the workers share.
        holder: this process's name in the ledger; must be its own.
    """

    levels: frozenset[Level] = frozenset({"call"})
    shared: bool = True
    holds_refusals = True

    def __init__(self, quota: Quota, ledger: Ledger, *, holder: str) -> None:
        self.rate_limited = quota.requests is not None or quota.tokens is not None
        self._quota = quota
        self._ledger = ledger
        self._holder = holder
        self._estimates = Estimates()
        self._limiters: dict[str, SharedLimiter] = {}

    async def admit(self, work: Work) -> Permit:
        """Wait until the quota of the work's model has room.

        Raises:
            Fatal: the call alone is more than the quota of a minute, so that it never fits.
        """
        if work.level != "call":
            return Permit()
        limiter = self._limiters.get(work.key)
        if limiter is None:
            limiter = SharedLimiter(
                self._ledger,
                name=f"global:{work.key}",
                quota=lambda: self._quota,
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

    def _cost(self, work: Work) -> int:
        """What to reserve, by what is known now; at most all of a minute."""
        cost = self._estimates.reserve(work.key, work.step, work.tokens)
        return cost if self._quota.tokens is None else min(cost, self._quota.tokens)

    def _check(self, work: Work) -> None:
        most = self._quota.tokens
        # By its own estimate, or by what is known of such calls: whichever is less.
        cost = min(work.tokens, self._estimates.reserve(work.key, work.step, work.tokens))
        if most is not None and cost > most:
            raise Fatal(
                f"one {work.step or 'call'} for {work.key} needs about {cost} tokens, more than "
                f"strategies.global.tokens_per_minute = {most}: it can never start; raise that, "
                "or lower the longest answer"
            )

    def explain(self) -> str:
        """Say the limits, what is used of them here and everywhere, and why calls wait."""
        where = "over all workers" if self._ledger.shared else "in this process"
        limiters = self._limiters.values()
        held = sum(limiter.held for limiter in limiters)
        waiting = sum(limiter.waiting for limiter in limiters)
        ended = sum(limiter.ended for limiter in limiters)
        parts = [f"{self._limits()} {where}", f"{held} held here", f"{waiting} waiting"]
        if ended:
            parts.append(f"{ended} leases ended too early")
        models = [self._model(key, limiter) for key, limiter in self._limiters.items()]
        return "; ".join([", ".join(parts), *filter(None, models)])

    def _limits(self) -> str:
        numbers = (
            (self._quota.concurrency, "calls"),
            (self._quota.requests, "requests a minute"),
            (self._quota.tokens, "tokens a minute"),
        )
        return ", ".join(f"{number} {what}" for number, what in numbers if number is not None)

    def _model(self, key: str, limiter: SharedLimiter) -> str:
        """What is used of one model's quota, where that is more than calls at once."""
        use, parts = limiter.last.use, list[str]()
        for name, used, quota in (
            ("requests", use.requests, use.request_quota),
            ("tokens", use.tokens, use.token_quota),
        ):
            if quota is not None:
                parts.append(f"{used} of {quota} {name} used")
        if limiter.away:
            parts.append("the ledger does not answer")
        elif limiter.waiting and _WAITS[limiter.last.reason]:
            parts.append(_WAITS[limiter.last.reason])
        return f"{key}: {', '.join(parts)}" if parts else ""

    async def close(self) -> None:
        """Give back all leases."""
        for limiter in self._limiters.values():
            await limiter.close()


def _make(options: GlobalOptions, context: Context) -> Strategy:
    quota = Quota(
        concurrency=options.concurrency,
        requests=options.requests_per_minute,
        tokens=options.tokens_per_minute,
    )
    if quota == Quota():
        quota = Quota(concurrency=CONCURRENCY)
    # Not the worker's id alone: a worker that came back must not be taken for the one it was.
    holder = f"{context.worker_id or 'client'}-{secrets.token_hex(4)}"
    return GlobalLimit(quota, context.ledger(), holder=holder)


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Offer the strategy."""
    register(
        "global",
        _make,
        options=GlobalOptions,
        summary="One quota over all workers: calls at once, requests and tokens per minute.",
        advice="set what your provider's account page says, as it says it; where it says "
        "nothing, use adaptive.",
    )
