"""Quotas of tenants: what the runs of one tenant use together, of all models and in all workers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from paceline import Done, Failed, Fatal, Ledger, Outcome, Permit, Quota, Work
from paceline.admission import LiveControls, SharedLimiter
from paceline.contracts.admission.limit_figures import LimitFigures, tenant_key
from paceline.contracts.admission.work import RateLimited
from paceline.contracts.share import DEFAULT_TENANT, MAX_WEIGHT

#: A call that starts within this time after its tenant's permit starts in the minute in which
#: the ledger counts it, in seconds. The ledger allows for a little more.
FRESH = 0.05
#: Seconds after which a call that still waits for its model exchanges its tenant's permit, so
#: that its tenant's minute keeps counting it.
KEPT = 30.0
#: Seconds that a call waits for the exchange before it returns the model's permit to others. It
#: doubles with each failure, so that a slow ledger delays calls but does not stop them.
FIRST_PATIENCE, LONGEST_PATIENCE = 0.25, 8.0
#: Seconds without use after which a quota is forgotten in this process.
_UNUSED = 60.0

_NO_QUOTA = Quota()
_REASONS = {
    "": "",
    "concurrency": "all permits of the tenant are in use",
    "requests": "the tenant's requests of this minute are used up",
    "tokens": "the tenant's tokens of this minute are used up",
    "pace": "spreading the tenant's calls over the minute",
    "refused": "",
    "unknown": "the ledger lost its data and waits until earlier leases are renewed or expired",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """The quotas of tenants by the settings.

    Attributes:
        own: quotas by tenant.
        each: quota of each tenant without one of its own; without numbers if it has none.
    """

    own: Mapping[str, Quota]
    each: Quota = _NO_QUOTA

    @property
    def rate_limited(self) -> bool:
        """Whether a quota limits calls per time."""
        return any(_rated(one) for one in (self.each, *self.own.values()))


class TenantQuotas:
    """One process's side of all tenants' quotas.

    A call first gets the permit of its tenant and then the permit of its model. So a tenant that
    has used up its quota occupies no permit of a model.

    Args:
        settings: the quotas by the settings.
        holder: name of this process in the ledger; must be unique.
        controls: limits that an operator changed.
    """

    def __init__(
        self, settings: TenantSettings, ledger: Ledger, *, holder: str, controls: LiveControls
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._holder = holder
        self._controls = controls
        self._limiters: dict[str, SharedLimiter] = {}

    def quota_of(self, tenant: str) -> Quota:
        """The quota of a tenant that applies now; without numbers if it has none."""
        quota = self._settings.own.get(tenant, self._settings.each)
        return self._controls.quota("global", quota, key=tenant_key(tenant))

    async def admit(
        self, work: Work, cost: Callable[[], int], model: Callable[[], Awaitable[Permit]]
    ) -> Permit:
        """Wait for the tenant's quota and then for the model.

        Args:
            work: the call.
            cost: returns the tokens that it costs by the current estimate.
            model: waits for the permit of the model.

        Raises:
            Fatal: the call alone needs more tokens than the tenant's quota of a minute.
        """
        tenant = work.tenant or DEFAULT_TENANT
        if not _limited(self.quota_of(tenant)):
            return await model()
        self._check(work, tenant, min(work.tokens, cost()))
        limiter = self._limiter(tenant)

        def reserved() -> int:
            tokens = self.quota_of(tenant).tokens
            return cost() if tokens is None else min(cost(), tokens)

        patience = FIRST_PATIENCE
        while True:
            permit = await limiter.admit(work, reserved)
            call = _Admission(limiter, work, reserved, permit)
            rated = _rated(self.quota_of(tenant))
            both = await (call.dated(model, patience) if rated else call.undated(model))
            if both is not None:
                return both
            patience = min(LONGEST_PATIENCE, 2 * patience)

    def _check(self, work: Work, tenant: str, cost: int) -> None:
        most = self.quota_of(tenant).tokens
        if most is None or cost <= most:
            return
        own = self._settings.own.get(tenant)
        section = "each_tenant" if own is None else f'tenants."{tenant}"'
        place, fix = f"strategies.global.{section}", "raise that setting"
        if most != (own or self._settings.each).tokens:
            place, fix = (
                f"the changed limit of tenant {tenant}",
                "raise it with paceline limits set",
            )
        raise Fatal(
            f"one {work.step or 'call'} for {work.key} needs about {cost} tokens, more than "
            f"{place}.tokens_per_minute = {most}, so it can never start; {fix} "
            "or lower the longest answer"
        )

    def _limiter(self, tenant: str) -> SharedLimiter:
        limiter = self._limiters.get(tenant)
        if limiter is None:
            self._limiters = dict(self._used())
            limiter = self._limiters[tenant] = SharedLimiter(
                self._ledger,
                name=tenant_key(tenant),
                quota=lambda: self.quota_of(tenant),
                holder=self._holder,
            )
        return limiter

    def _used(self) -> Sequence[tuple[str, SharedLimiter]]:
        """The tenants with calls now or in the last minute."""
        since = asyncio.get_running_loop().time() - _UNUSED
        return [
            (tenant, limiter)
            for tenant, limiter in self._limiters.items()
            if not limiter.idle or limiter.synced_at > since
        ]

    def explain(self) -> str:
        """How many calls wait for their tenant's quota; it names no tenant."""
        waiting = sum(limiter.waiting for limiter in self._limiters.values())
        return f"{waiting} waiting for quotas of tenants" if waiting else ""

    def limits(self) -> Sequence[LimitFigures]:
        """The quotas in numbers."""
        return [
            one
            for tenant, limiter in self._used()
            for one in limiter.limits(
                tenant_key(tenant),
                "calls",
                reason=_REASONS[limiter.last.reason] if limiter.waiting else "",
            )
        ]

    def limits_changed(self) -> None:
        """Bring the ledger the changed quotas."""
        for limiter in self._limiters.values():
            limiter.quota_changed()

    async def close(self) -> None:
        """Release all leases."""
        for limiter in self._limiters.values():
            await limiter.close()


class _Admission:
    """A call that has its tenant's permit and waits for its model's.

    The ledger counts the tenant's permit in the minute in which it granted it. If the model has
    no room for long, calls would pile up that belong to earlier minutes, and start together. So a
    call that had to wait exchanges its permit when it starts, and while it waits for long. The
    ledger releases the old one and grants the new one in one step, so that another call can
    hardly come between.
    """

    def __init__(
        self, limiter: SharedLimiter, work: Work, cost: Callable[[], int], permit: Permit
    ) -> None:
        self._limiter = limiter
        self._cost = cost
        self._permit = permit
        self._since = asyncio.get_running_loop().time()
        # A flow of its own, which is next whenever it has waiters.
        self._next = replace(work, run_id="", tenant="", weight=MAX_WEIGHT, priority="high")

    async def undated(self, model: Callable[[], Awaitable[Permit]]) -> Permit:
        """Wait for the model. Only the number of calls at once is limited."""
        try:
            return _both(self._permit, await model())
        except BaseException:
            self._permit.release(Failed())
            raise

    async def dated(self, model: Callable[[], Awaitable[Permit]], patience: float) -> Permit | None:
        """Wait for the model, so that the tenant's minute counts the call when it starts.

        Returns:
            The permit; ``None`` if the exchange took longer than ``patience``. Then the call has
            no permit and waits for its tenant again.
        """
        asking = asyncio.ensure_future(model())
        try:
            while True:
                age = asyncio.get_running_loop().time() - self._since
                await asyncio.wait({asking}, timeout=max(0.0, KEPT - age))
                age = asyncio.get_running_loop().time() - self._since
                if asking.done() and (asking.exception() is not None or age <= FRESH):
                    return _both(self._permit, asking.result())
                if not await self._exchanged(patience):
                    _return(asking)
                    return None
        except BaseException:
            self._permit.release(Failed())
            _return(asking)
            raise

    async def _exchanged(self, patience: float) -> bool:
        self._permit.release(Failed())
        try:
            async with asyncio.timeout(patience):
                self._permit = await self._limiter.admit(self._next, self._cost)
        except TimeoutError:
            return False
        self._since = asyncio.get_running_loop().time()
        return True


def _both(tenant: Permit, model: Permit) -> Permit:
    def release(outcome: Outcome) -> None:
        model.release(outcome)
        tenant.release(_for_tenant(outcome))

    return Permit(release, notice=model.notice)


def _for_tenant(outcome: Outcome) -> Outcome:
    """The outcome without what the provider said of the quota that all tenants share."""
    if isinstance(outcome, Done):
        return replace(outcome, rate_limit_info=None)
    # The provider refused the call because of the model's quota: only the model must pause.
    return Failed() if isinstance(outcome, RateLimited) else outcome


def _return(asking: "asyncio.Future[Permit]") -> None:
    """Cancel a request for a permit, and release the permit if it was granted already."""

    def ended(asked: "asyncio.Future[Permit]") -> None:
        if not asked.cancelled() and asked.exception() is None:
            asked.result().release(Failed())

    asking.cancel()
    asking.add_done_callback(ended)


def _limited(quota: Quota) -> bool:
    return quota.concurrency is not None or _rated(quota)


def _rated(quota: Quota) -> bool:
    return quota.requests is not None or quota.tokens is not None
