"""One limit's books: leases, what is used of the quota, who waits, and who is next."""

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from paceline.admission.fair_queue import Line
from paceline.admission.lease_names import Name, read_name
from paceline.admission.rate_window import Meter
from paceline.admission.refusal_pause import Hold, pause_of
from paceline.contracts.ledger import Lease, LeaseRelease, LeaseRequest, Quota, Reason, Use
from paceline.contracts.work import RateLimitInfo

#: Tokens, requests and milliseconds beyond this are nobody's: they are cut to it.
MOST = 1_000_000_000
#: Milliseconds that a flow's place is remembered while nobody waits in it.
IDLE = 60_000
#: Who is due and does not come for so long has died, ms; others come later than it by BACKUP.
LATE, BACKUP = 250, 1_000


@dataclass(slots=True)
class Answer:
    """What an exchange brought; see ``Grant``.

    Attributes:
        leases: of the holder, all that it has not confirmed.
        upto: number of the last lease that was granted to anybody.
        expires_in: milliseconds.
        mail: leases granted to other holders, who are to be told.
        wake: another holder who is to come at once, if one is.
    """

    leases: tuple[Lease, ...]
    upto: int
    expires_in: int | None
    reason: Reason
    use: Use
    forgotten: bool
    mail: dict[str, list[Lease]] = field(default_factory=dict[str, list[Lease]])
    wake: str | None = None


@dataclass(slots=True)
class _Out:
    """A lease that is out."""

    name: Name
    end: int


class Book:
    """What is known of one limit. All times are in milliseconds.

    Args:
        lease: how long a lease lives that is not renewed; ``None``: for ever.
        confirm: how long one lives that was granted in another's exchange, until the next one of
            its holder.
    """

    def __init__(self, *, lease: int | None, confirm: int) -> None:
        self._lease = lease
        self._confirm = confirm
        self._number = 0
        self._out: dict[str, _Out] = {}
        self._ends: list[tuple[int, str]] = []
        self._line = Line()
        self._requests = Meter()
        self._tokens = Meter()
        self._hold = Hold()
        self._limits: dict[str, int] = {}  # what the provider says that the quota is
        self._seen: dict[str, int] = {}  # holder → when it counts as dead
        self._mail: dict[str, dict[int, Lease]] = {}  # holder → leases that it did not confirm
        self._alarm: tuple[int, str] | None = None  # when who comes back for all

    def sync(
        self,
        now: int,
        *,
        quota: Quota,
        holder: str,
        asks: Sequence[LeaseRequest] = (),
        settled: Sequence[LeaseRelease] = (),
        heard: Collection[int] = (),
    ) -> Answer:
        """Give back, confirm and ask, and grant what is free to who is next.

        Args:
            now: the time.
            quota: what may be used.
            holder: who asks.
            asks: its flows that changed.
            settled: leases that it gives back.
            heard: numbers of the leases that it was told of.
        """
        self._expire(now)
        for one in settled:
            self._settle(now, one, quota)
        forgotten = holder not in self._seen
        self._see(now, holder)
        self._confirmed(now, holder, heard)
        self._note(now, holder, asks)
        reason, wait, mail = self._grant(now, self._effective(quota), quota.concurrency, holder)
        expires_in, wake = self._watch(now, holder, wait)
        return Answer(
            leases=tuple(self._mail.get(holder, {}).values()),
            upto=self._number,
            expires_in=expires_in,
            reason=reason,
            use=self._use(quota),
            forgotten=forgotten,
            mail=mail,
            wake=wake,
        )

    def renew(self, now: int, *, holder: str, leases: Sequence[str]) -> list[str]:
        """Prolong leases; returns those that had ended, which count again."""
        self._expire(now)
        if holder in self._seen:
            self._see(now, holder)
        ended: list[str] = []
        for name in leases:
            out = self._out.get(name)
            if out is not None:
                self._extend(out, now)
                continue
            ended.append(name)
            known = read_name(name)
            if known is not None:
                self._put(known, self._end(now, self._lease))
        return ended

    def held(self, now: int) -> Mapping[str, int]:
        """How many leases each holder has now."""
        self._expire(now)
        return Counter(out.name.holder for out in self._out.values())

    # -- leases ------------------------------------------------------------------------------

    def _expire(self, now: int) -> None:
        for meter in (self._requests, self._tokens):
            meter.expire(now)
        self._line.lapse(now - IDLE)
        if self._lease is None:
            return
        while self._ends and self._ends[0][0] <= now:
            end, name = heapq.heappop(self._ends)
            out = self._out.get(name)
            if out is not None and out.end == end:
                del self._out[name]
                holder = out.name.holder
                self._seen.pop(holder, None)  # it is gone, or will hear that it is taken for dead
                mail = self._mail.get(holder, {})
                mail.pop(out.name.number, None)
                if not mail:
                    self._mail.pop(holder, None)
        for holder, _ in list(takewhile(lambda seen: seen[1] <= now, self._seen.items())):
            del self._seen[holder]
            self._mail.pop(holder, None)

    def _see(self, now: int, holder: str) -> None:
        self._seen.pop(holder, None)
        self._seen[holder] = self._end(now, self._lease)  # those seen last are last

    def _end(self, now: int, lives: int | None) -> int:
        return 0 if self._lease is None or lives is None else now + lives

    def _put(self, name: Name, end: int) -> None:
        self._out[str(name)] = _Out(name, end)
        if self._lease is not None:
            heapq.heappush(self._ends, (end, str(name)))

    def _extend(self, out: _Out, now: int) -> None:
        if self._lease is not None:
            out.end = now + self._lease
            heapq.heappush(self._ends, (out.end, str(out.name)))

    def _settle(self, now: int, settled: LeaseRelease, quota: Quota) -> None:
        out = self._out.pop(settled.lease, None)
        if out is None:
            return
        granted, cost = out.name.granted, out.name.cost
        most = self._effective(quota)
        if settled.tokens == 0 and most.requests is not None:
            self._requests.correct(granted, -1, most.requests)
        if settled.tokens is not None:
            real = min(settled.tokens, MOST)
            if most.tokens is not None and real != cost:
                self._tokens.correct(granted, real - cost, most.tokens)
            self._line.correct(out.name.flow, real - max(1, cost))
        if settled.refused:
            after = settled.retry_after
            pause = None if after is None else pause_of(after)
            self._hold.refuse(now, granted, out.name.number, pause)
            for meter in (self._requests, self._tokens):
                meter.hold(self._hold.until)
        elif settled.tokens != 0:
            self._hold.relent(granted)
        if settled.rate_limit_info is not None:
            self._heed(now, granted, settled.rate_limit_info, quota)

    # -- what the provider says --------------------------------------------------------------

    def _heed(self, now: int, granted: int, said: RateLimitInfo, quota: Quota) -> None:
        for name, limit in (("requests", said.requests), ("tokens", said.tokens)):
            if limit is not None:
                self._limits[name] = min(max(1, limit), MOST)
        most = self._effective(quota)
        for meter, whole, limit, left in (
            (self._requests, most.requests, said.requests, said.requests_left),
            (self._tokens, most.tokens, said.tokens, said.tokens_left),
        ):
            if whole is not None and limit is not None and left is not None:
                foreign = meter.foreign(granted, min(limit, MOST) - left, whole)
                if foreign:
                    meter.count(now, foreign)

    def _effective(self, quota: Quota) -> Quota:
        if not self._limits:
            return quota
        return Quota(
            concurrency=quota.concurrency,
            requests=self._lower(quota.requests, "requests", quota),
            tokens=self._lower(quota.tokens, "tokens", quota),
        )

    def _lower(self, set_to: int | None, name: str, quota: Quota) -> int | None:
        said = self._limits.get(name)
        if said is None or (set_to is None and not quota.follow):
            return set_to
        return said if set_to is None else min(said, set_to)

    # -- who waits, and who is next ----------------------------------------------------------

    def _confirmed(self, now: int, holder: str, heard: Collection[int]) -> None:
        mail, told = self._mail.get(holder, {}), set(heard)
        for number, lease in list(mail.items()):
            # What it was told of it confirms; of the rest it is told by this answer.
            if lease.name in self._out:
                self._extend(self._out[lease.name], now)
            if number in told:
                del mail[number]
        if not mail:
            self._mail.pop(holder, None)

    def _note(self, now: int, holder: str, asks: Sequence[LeaseRequest]) -> None:
        for ask in asks:
            # What it was granted and has not heard of yet is no longer wanted.
            unheard = sum(one.flow == ask.flow for one in self._mail.get(holder, {}).values())
            self._line.ask(
                f"{holder}|{ask.flow}",
                holder,
                tenant=ask.tenant,
                weight=ask.weight,
                costs=list(ask.costs[unheard:]),
                now=now,
            )

    def _grant(
        self, now: int, quota: Quota, concurrency: int | None, asker: str
    ) -> tuple[Reason, int | None, dict[str, list[Lease]]]:
        mail: dict[str, list[Lease]] = {}
        while (flow := self._line.first()) is not None:
            if flow.holder not in self._seen:
                self._line.drop(flow, now)
                continue
            reason, wait = self._obstacle(now, quota, concurrency, flow.costs[0])
            if reason:
                return reason, wait, mail
            cost = self._line.serve(flow, now)
            self._hold.grant(now, concurrency)
            if quota.requests is not None:
                self._requests.charge(now, 1, quota.requests)
            if quota.tokens is not None:
                cost = min(cost, quota.tokens)
                self._tokens.charge(now, cost, quota.tokens)
            self._number += 1
            name = Name(self._number, now, cost, flow.key)
            lease = name.lease()
            mine = flow.holder == asker
            end = self._end(now, self._lease if mine else self._confirm)
            self._put(name, end if mine else min(end, self._seen[flow.holder]))
            self._mail.setdefault(flow.holder, {})[self._number] = lease
            if not mine:
                mail.setdefault(flow.holder, []).append(lease)
        return "", None, mail

    def _obstacle(
        self, now: int, quota: Quota, concurrency: int | None, cost: int
    ) -> tuple[Reason, int | None]:
        """Why the next call cannot start, and in how many ms that may be over."""
        if concurrency is not None and len(self._out) >= concurrency:
            return "concurrency", self._first_end(now)
        wait = self._hold.wait(now, concurrency)
        if wait:
            return "refused", wait
        reason: Reason = ""
        longest = 0
        meters: tuple[tuple[Reason, Meter, int, int | None], ...] = (
            ("requests", self._requests, 1, quota.requests),
            ("tokens", self._tokens, cost, quota.tokens),
        )
        for name, meter, amount, most in meters:
            if most is not None:
                wait, paced = meter.wait(now, amount, most)
                if wait > longest:
                    reason, longest = "pace" if paced else name, wait
        return reason, longest

    def _first_end(self, now: int) -> int | None:
        while self._ends:
            end, name = self._ends[0]
            if name in self._out and self._out[name].end == end:
                return end - now
            heapq.heappop(self._ends)
        return None

    def _watch(self, now: int, holder: str, wait: int | None) -> tuple[int | None, str | None]:
        """One holder comes back for all; the others, a little later, in case that it does not.

        Returns:
            In how many ms the asker is to come back, if it waits; and who is to come at once,
            where somebody waits and nobody would come.
        """
        first = self._line.first()
        if first is None or wait is None:
            self._alarm = None
            return None, None
        due = now + wait
        waits = self._line.waits(holder)
        if self._alarm is not None and self._alarm[1] != holder:
            when, who = self._alarm
            good = now <= when + LATE and when <= due + LATE
            if good and who in self._seen and self._line.waits(who):
                return (wait + BACKUP if waits else None), None
        if waits:
            self._alarm = (due, holder)
            return wait, None
        self._alarm = (due, first.holder)
        return None, first.holder

    def _use(self, quota: Quota) -> Use:
        most = self._effective(quota)
        return Use(
            out=len(self._out),
            requests=self._requests.total,
            tokens=self._tokens.total,
            request_quota=most.requests,
            token_quota=most.tokens,
        )
