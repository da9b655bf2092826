"""N calls at once over all workers."""

import secrets
from typing import ClassVar

from paceline.context import Context
from paceline.hookspecs import Register, hookimpl
from paceline.ledger import Ledger
from paceline.options import Options
from paceline.strategy import Strategy
from paceline.work import Level, Permit, Work
from pydantic import Field

from paceline_strategies.limits import Fixed
from paceline_strategies.shared import SharedLimiter


class GlobalOptions(Options):
    """Options of ``global``."""

    concurrency: int = Field(default=64, ge=1, le=100_000)
    """Calls that all workers together have out at once, for each model."""


class GlobalLimit(Strategy):
    """Holds N calls per model over all workers, by leases in the ledger.

    Args:
        concurrency: N.
        ledger: what the workers share.
        holder: this process's name in the ledger; must be its own.
    """

    levels: ClassVar[frozenset[Level]] = frozenset({"call"})
    shared: ClassVar[bool] = True

    def __init__(self, concurrency: int, ledger: Ledger, *, holder: str) -> None:
        self._limit = Fixed(concurrency)
        self._ledger = ledger
        self._holder = holder
        self._limiters: dict[str, SharedLimiter] = {}

    async def admit(self, work: Work) -> Permit:
        """Wait until fewer than N calls to the work's model are out."""
        if work.level != "call":
            return Permit()
        limiter = self._limiters.get(work.key)
        if limiter is None:
            limiter = SharedLimiter(
                self._ledger, name=f"global:{work.key}", limit=self._limit, holder=self._holder
            )
            self._limiters[work.key] = limiter
        return await limiter.admit()

    def explain(self) -> str:
        """Say the limit, and how full it is here."""
        held = sum(limiter.held for limiter in self._limiters.values())
        waiting = sum(limiter.waiting for limiter in self._limiters.values())
        lost = sum(limiter.lost for limiter in self._limiters.values())
        where = "over all workers" if self._ledger.shared else "in this process"
        text = f"{self._limit.limit} calls {where}, {held} held here, {waiting} waiting"
        return f"{text}, {lost} leases lost" if lost else text

    async def close(self) -> None:
        """Give back all leases."""
        for limiter in self._limiters.values():
            await limiter.close()


def _make(options: GlobalOptions, context: Context) -> Strategy:
    # Not the worker's id alone: a worker that came back must not be taken for the one it was.
    holder = f"{context.worker_id or 'client'}-{secrets.token_hex(4)}"
    return GlobalLimit(options.concurrency, context.ledger(), holder=holder)


@hookimpl
def paceline_register_strategies(register: Register[Strategy]) -> None:
    """Offer the strategy."""
    register(
        "global",
        _make,
        options=GlobalOptions,
        summary="N calls at once over all workers, for a quota that they share.",
    )
