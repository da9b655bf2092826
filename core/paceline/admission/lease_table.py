"""The state of one limit: leases, use of the quota, waiters, and the order of service."""

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from paceline.admission.fair_queue import FairQueue
from paceline.admission.lease_names import LeaseName, parse_lease_name
from paceline.admission.rate_window import RateWindow
from paceline.admission.refusal_pause import RefusalPause, retry_after_ms
from paceline.contracts.admission.ledger import (
    Lease,
    LeaseRelease,
    LeaseRequest,
    Quota,
    Reason,
    Use,
)
from paceline.contracts.admission.work import RateLimitInfo

#: Larger numbers of tokens and requests are cut to this.
MAX_AMOUNT = 1_000_000_000
#: Milliseconds that a flow without waiters is remembered.
IDLE = 60_000
#: A holder that does not sync within this time after it was due counts as dead, ms.
LATE = 250
#: How much later than the responsible holder all others sync, ms.
BACKUP = 1_000


@dataclass(slots=True)
class SyncResult:
    """The result of a sync; see ``Grant``.

    Attributes:
        leases: all leases of the holder that it has not confirmed.
        last_number: number of the limit's last lease, of any holder.
        retry_in: milliseconds.
        notifications: leases granted to other holders, which must be notified.
        wake: another holder that must sync at once, if any.
    """

    leases: tuple[Lease, ...]
    last_number: int
    retry_in: int | None
    reason: Reason
    use: Use
    unknown_holder: bool
    notifications: dict[str, list[Lease]] = field(default_factory=dict[str, list[Lease]])
    wake: str | None = None


@dataclass(slots=True)
class _ActiveLease:
    name: LeaseName
    end: int


class LeaseTable:
    """The state of one limit. All times are in milliseconds.

    Args:
        lease: time after which a lease expires unless it is renewed; ``None``: never.
        confirm: time within which a holder must confirm a lease granted by another holder's
            sync.
    """

    def __init__(self, *, lease: int | None, confirm: int) -> None:
        self._lease = lease
        self._confirm = confirm
        self._number = 0
        self._active: dict[str, _ActiveLease] = {}
        self._ends: list[tuple[int, str]] = []
        self._queue = FairQueue()
        self._requests = RateWindow()
        self._tokens = RateWindow()
        self._pause = RefusalPause()
        self._newest = Quota()  # with the newest version that any holder brought
        self._provider_quota: dict[str, int] = {}  # by the provider's headers
        self._alive_until: dict[str, int] = {}  # holder → when it counts as dead
        self._pending: dict[str, dict[int, Lease]] = {}  # holder → leases it has not confirmed
        self._next_sync: tuple[int, str] | None = None  # when, and the responsible holder

    def sync(
        self,
        now: int,
        *,
        quota: Quota,
        holder: str,
        requests: Sequence[LeaseRequest] = (),
        releases: Sequence[LeaseRelease] = (),
        confirmed: Collection[int] = (),
    ) -> SyncResult:
        """Release and confirm leases, update requests, and grant free capacity to the next."""
        quota = self._newest_quota(quota)
        self._expire(now)
        for release in releases:
            self._release(now, release, quota)
        unknown_holder = holder not in self._alive_until
        self._keep_alive(now, holder)
        self._confirm_leases(now, holder, confirmed)
        self._update_requests(now, holder, requests)
        reason, wait, notifications = self._grant(
            now, self._effective(quota), quota.concurrency, holder
        )
        retry_in, wake = self._schedule_sync(now, holder, wait)
        return SyncResult(
            leases=tuple(self._pending.get(holder, {}).values()),
            last_number=self._number,
            retry_in=retry_in,
            reason=reason,
            use=self._use(quota),
            unknown_holder=unknown_holder,
            notifications=notifications,
            wake=wake,
        )

    def renew(self, now: int, *, holder: str, leases: Sequence[str]) -> list[str]:
        """Extend leases. Returns those that had expired; they count again."""
        self._expire(now)
        if holder in self._alive_until:
            self._keep_alive(now, holder)
        expired: list[str] = []
        for text in leases:
            active = self._active.get(text)
            if active is not None:
                self._extend(active, now)
                continue
            expired.append(text)
            name = parse_lease_name(text)
            if name is not None:
                self._add(name, self._end(now, self._lease))
        return expired

    def held(self, now: int) -> Mapping[str, int]:
        """The number of leases of each holder."""
        self._expire(now)
        return Counter(active.name.holder for active in self._active.values())

    # -- leases ------------------------------------------------------------------------------

    def _expire(self, now: int) -> None:
        for window in (self._requests, self._tokens):
            window.expire(now)
        self._queue.expire_idle(now - IDLE)
        if self._lease is None:
            return
        while self._ends and self._ends[0][0] <= now:
            end, name = heapq.heappop(self._ends)
            active = self._active.get(name)
            if active is not None and active.end == end:
                del self._active[name]
                holder = active.name.holder
                # It is dead, or its next sync reports that it was unknown.
                self._alive_until.pop(holder, None)
                pending = self._pending.get(holder, {})
                pending.pop(active.name.number, None)
                if not pending:
                    self._pending.pop(holder, None)
        for holder, _ in list(takewhile(lambda item: item[1] <= now, self._alive_until.items())):
            del self._alive_until[holder]
            self._pending.pop(holder, None)

    def _keep_alive(self, now: int, holder: str) -> None:
        self._alive_until.pop(holder, None)
        self._alive_until[holder] = self._end(now, self._lease)  # in the order of their ends

    def _end(self, now: int, lifetime: int | None) -> int:
        return 0 if self._lease is None or lifetime is None else now + lifetime

    def _add(self, name: LeaseName, end: int) -> None:
        self._active[str(name)] = _ActiveLease(name, end)
        if self._lease is not None:
            heapq.heappush(self._ends, (end, str(name)))

    def _extend(self, active: _ActiveLease, now: int) -> None:
        if self._lease is not None:
            active.end = now + self._lease
            heapq.heappush(self._ends, (active.end, str(active.name)))

    def _release(self, now: int, release: LeaseRelease, quota: Quota) -> None:
        active = self._active.pop(release.lease, None)
        if active is None:
            return
        granted, cost = active.name.granted, active.name.cost
        effective = self._effective(quota)
        if release.tokens == 0 and effective.requests is not None:
            self._requests.correct(granted, -1, effective.requests)
        if release.tokens is not None:
            real = min(release.tokens, MAX_AMOUNT)
            if effective.tokens is not None and real != cost:
                self._tokens.correct(granted, real - cost, effective.tokens)
            self._queue.correct(active.name.flow, real - max(1, cost))
        if release.refused:
            after = release.retry_after
            pause = None if after is None else retry_after_ms(after)
            self._pause.call_refused(now, granted, active.name.number, pause)
            for window in (self._requests, self._tokens):
                window.pause(self._pause.until)
        elif release.tokens != 0:
            self._pause.call_succeeded(granted)
        if release.rate_limit_info is not None:
            self._use_headers(now, granted, release.rate_limit_info, quota)

    def _newest_quota(self, quota: Quota) -> Quota:
        """The quota of a holder, unless another holder brought a newer version."""
        if quota.version < self._newest.version:
            return self._newest
        if quota.version:
            self._newest = quota
        return quota

    # -- the provider's headers --------------------------------------------------------------

    def _use_headers(self, now: int, granted: int, info: RateLimitInfo, quota: Quota) -> None:
        for name, limit in (("requests", info.requests), ("tokens", info.tokens)):
            if limit is not None:
                self._provider_quota[name] = min(max(1, limit), MAX_AMOUNT)
        effective = self._effective(quota)
        for window, total, limit, left in (
            (self._requests, effective.requests, info.requests, info.requests_left),
            (self._tokens, effective.tokens, info.tokens, info.tokens_left),
        ):
            if total is not None and limit is not None and left is not None:
                others = window.used_by_others(granted, min(limit, MAX_AMOUNT) - left, total)
                if others:
                    window.count(now, others)

    def _effective(self, quota: Quota) -> Quota:
        if not self._provider_quota:
            return quota
        return Quota(
            concurrency=quota.concurrency,
            requests=self._lower(quota.requests, "requests", quota),
            tokens=self._lower(quota.tokens, "tokens", quota),
        )

    def _lower(self, own: int | None, name: str, quota: Quota) -> int | None:
        provider = self._provider_quota.get(name)
        if provider is None or (own is None and not quota.follow):
            return own
        return provider if own is None else min(provider, own)

    # -- waiters and grants ------------------------------------------------------------------

    def _confirm_leases(self, now: int, holder: str, confirmed: Collection[int]) -> None:
        pending, received = self._pending.get(holder, {}), set(confirmed)
        for number, lease in list(pending.items()):
            # The holder has these, or receives them with this reply: they live for a lease time.
            if lease.name in self._active:
                self._extend(self._active[lease.name], now)
            if number in received:
                del pending[number]
        if not pending:
            self._pending.pop(holder, None)

    def _update_requests(self, now: int, holder: str, requests: Sequence[LeaseRequest]) -> None:
        pending = self._pending.get(holder, {}).values()
        for request in requests:
            # The request still contains the waiters of leases that the holder has not received.
            granted = sum(lease.flow == request.flow for lease in pending)
            self._queue.update(
                f"{holder}|{request.flow}",
                holder,
                tenant=request.tenant,
                weight=request.weight,
                points=request.points,
                costs=list(request.costs[granted:]),
                now=now,
            )

    def _grant(
        self, now: int, quota: Quota, concurrency: int | None, caller: str
    ) -> tuple[Reason, int | None, dict[str, list[Lease]]]:
        notifications: dict[str, list[Lease]] = {}
        while (flow := self._queue.first()) is not None:
            if flow.holder not in self._alive_until:
                self._queue.drop(flow, now)
                continue
            reason, wait = self._obstacle(now, quota, concurrency, flow.costs[0])
            if reason:
                return reason, wait, notifications
            cost = self._queue.serve(flow, now)
            self._pause.call_started(now, concurrency)
            if quota.requests is not None:
                self._requests.charge(now, 1, quota.requests)
            if quota.tokens is not None:
                cost = min(cost, quota.tokens)
                self._tokens.charge(now, cost, quota.tokens)
            self._number += 1
            name = LeaseName(self._number, now, cost, flow.key)
            lease = name.lease()
            own = flow.holder == caller
            end = self._end(now, self._lease if own else self._confirm)
            self._add(name, end if own else min(end, self._alive_until[flow.holder]))
            self._pending.setdefault(flow.holder, {})[self._number] = lease
            if not own:
                notifications.setdefault(flow.holder, []).append(lease)
        return "", None, notifications

    def _obstacle(
        self, now: int, quota: Quota, concurrency: int | None, cost: int
    ) -> tuple[Reason, int | None]:
        """Why the next call cannot start, and the milliseconds after which it perhaps can."""
        if concurrency is not None and len(self._active) >= concurrency:
            return "concurrency", self._first_end(now)
        wait = self._pause.wait(now, concurrency)
        if wait:
            return "refused", wait
        reason: Reason = ""
        longest = 0
        windows: tuple[tuple[Reason, RateWindow, int, int | None], ...] = (
            ("requests", self._requests, 1, quota.requests),
            ("tokens", self._tokens, cost, quota.tokens),
        )
        for name, window, amount, total in windows:
            if total is not None:
                wait, paced = window.wait(now, amount, total)
                if wait > longest:
                    reason, longest = "pace" if paced else name, wait
        return reason, longest

    def _first_end(self, now: int) -> int | None:
        while self._ends:
            end, name = self._ends[0]
            if name in self._active and self._active[name].end == end:
                return end - now
            heapq.heappop(self._ends)
        return None

    def _schedule_sync(
        self, now: int, holder: str, wait: int | None
    ) -> tuple[int | None, str | None]:
        """Make one holder responsible for the next sync; the others sync a little later.

        Returns:
            Milliseconds until the caller must sync, if it has waiters; and another holder that
            must sync at once, if the caller has none and no holder is responsible.
        """
        first = self._queue.first()
        if first is None or wait is None:
            self._next_sync = None
            return None, None
        due = now + wait
        waiting = self._queue.has_waiters(holder)
        if self._next_sync is not None and self._next_sync[1] != holder:
            when, responsible = self._next_sync
            in_time = now <= when + LATE and when <= due + LATE
            alive = responsible in self._alive_until and self._queue.has_waiters(responsible)
            if in_time and alive:
                return (wait + BACKUP if waiting else None), None
        if waiting:
            self._next_sync = (due, holder)
            return wait, None
        self._next_sync = (due, first.holder)
        return None, first.holder

    def _use(self, quota: Quota) -> Use:
        effective = self._effective(quota)
        return Use(
            out=len(self._active),
            requests=self._requests.total,
            tokens=self._tokens.total,
            request_quota=effective.requests,
            token_quota=effective.tokens,
        )
