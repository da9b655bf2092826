"""Quotas per minute hold in every minute, and are used."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from paceline.admission.lease_table import Book
from paceline.admission.rate_window import MARGIN, MINUTE, Meter
from paceline.contracts.ledger import LeaseRelease, LeaseRequest, Quota

START = 1_000_000


def most_in_a_minute(charged: Sequence[tuple[int, int]]) -> int:
    """The largest sum of amounts within any minute, the end excluded; moments in ms."""
    most = total = first = 0
    for when, amount in charged:
        total += amount
        while charged[first][0] <= when - MINUTE:
            total -= charged[first][1]
            first += 1
        most = max(most, total)
    return most


arrivals = st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 60)), min_size=1, max_size=300)


@given(arrivals=arrivals, quota=st.integers(60, 600), seed=st.randoms(use_true_random=False))
def test_no_minute_is_over_even_where_calls_arrive_late(
    arrivals: list[tuple[int, int]], quota: int, seed: random.Random
) -> None:
    meter, now = Meter(), START
    charged: list[tuple[int, int]] = []
    for pause, amount in arrivals:
        now += pause
        meter.expire(now)
        if not meter.wait(now, amount, quota)[0]:
            meter.charge(now, amount, quota)
            charged.append((now + seed.randint(0, MARGIN - 1), amount))
    assert most_in_a_minute(sorted(charged)) <= quota


@given(quota=st.integers(50, 5_000), most=st.integers(1, 20))
def test_who_comes_whenever_told_uses_nearly_all_of_the_quota(quota: int, most: int) -> None:
    meter, now, used = Meter(), START, 0
    amount = max(1, quota // (20 * most))
    while now < START + 6 * MINUTE:
        meter.expire(now)
        wait, _ = meter.wait(now, amount, quota)
        if wait:
            now += wait
            continue
        meter.charge(now, amount, quota)
        if now >= START + 2 * MINUTE:
            used += amount
    assert used >= 0.97 * 4 * (quota - amount)


@given(quota=st.integers(30, 5_000))
def test_a_burst_does_not_come_back_each_minute(quota: int) -> None:
    meter, now = Meter(), START
    charged: list[tuple[int, int]] = []
    while now < START + 4 * MINUTE:
        meter.expire(now)
        wait, _ = meter.wait(now, 1, quota)
        if wait:
            now += wait
        else:
            meter.charge(now, 1, quota)
            charged.append((now, 1))
    for second in range(START, START + 3 * MINUTE, 5_000):
        in_five = sum(second <= when < second + 5_000 for when, _ in charged)
        assert in_five <= 1 + quota * 1.05 * 6.75 / 60


@given(
    calls=st.lists(
        st.tuples(st.integers(1, 500), st.none() | st.integers(0, 800)), min_size=1, max_size=30
    )
)
def test_what_was_reserved_is_reconciled_or_refunded_in_the_end(
    calls: list[tuple[int, int | None]],
) -> None:
    book = Book(lease=60_000, confirm=5_000)
    quota = Quota(requests=1_000_000, tokens=100_000_000)
    ask = LeaseRequest("run", [cost for cost, _ in calls])
    answer = book.sync(START, quota=quota, holder="a", asks=[ask])
    assert answer.use.tokens == sum(cost for cost, _ in calls)
    settled = [
        LeaseRelease(lease.name, tokens=real)
        for lease, (_, real) in zip(answer.leases, calls, strict=True)
    ]
    use = book.sync(START + 9_000, quota=quota, holder="a", settled=settled).use
    counted = [cost if real is None else real for cost, real in calls]
    assert use.tokens == sum(counted)
    assert use.requests == sum(1 for _, real in calls if real != 0)
    assert use.out == 0
    later = book.sync(START + 2 * MINUTE, quota=quota, holder="a")
    assert (later.use.tokens, later.use.requests) == (0, 0)


def test_after_a_refusal_calls_return_at_the_pace_and_not_as_a_burst() -> None:
    book, quota = Book(lease=600_000, confirm=5_000), Quota(requests=600)
    grant = book.sync(START, quota=quota, holder="a", asks=[LeaseRequest("run", [0] * 400)])
    refused = [
        LeaseRelease(one.name, tokens=0, refused=True, retry_after=2.0) for one in grant.leases
    ]
    assert len(refused) > 10, "at first, a burst"
    now, started = START + 300, list[int]()
    answer = book.sync(now, quota=quota, holder="a", settled=refused)
    while now < START + 12_300:
        assert answer.expires_in is not None
        now += answer.expires_in
        heard = [int(lease.name.partition(".")[0]) for lease in answer.leases]
        answer = book.sync(now, quota=quota, holder="a", heard=heard)
        started += [now] * len(answer.leases)
    assert started[0] == START + 2_300
    for since in range(START + 2_300, START + 11_300, 500):
        in_a_second = sum(since <= when < since + 1_000 for when in started)
        assert in_a_second <= 600 * 1.05 / 60 + 3


def test_a_call_above_the_quota_has_all_of_it_for_itself() -> None:
    book, quota = Book(lease=600_000, confirm=5_000), Quota(tokens=100)
    answer = book.sync(START, quota=quota, holder="a", asks=[LeaseRequest("run", [900, 1])])
    assert [lease.cost for lease in answer.leases] == [100]
    assert answer.expires_in is not None
    later = START + answer.expires_in
    assert len(book.sync(later, quota=quota, holder="a").leases) == 2


def test_what_the_provider_counted_before_is_not_taken_for_others_use() -> None:
    meter = Meter()
    meter.charge(START, 90, 100)
    meter.expire(START + 61_500)
    assert meter.total == 0
    # The answer of a long call says what the provider had counted when it began.
    assert meter.foreign(START, 90, 100) == 0
    meter.charge(START + 61_500, 50, 100)
    meter.correct(START + 61_500, -40, 100)
    assert meter.foreign(START + 61_500, 52, 100) == 0, "a fiftieth is no other's use"
    assert meter.foreign(START + 61_500, 70, 100) == 20
