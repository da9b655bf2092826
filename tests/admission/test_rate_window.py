"""Quotas per minute hold in every minute, and are fully used."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from paceline.admission.lease_table import LeaseTable
from paceline.admission.rate_window import MARGIN, MINUTE, RateWindow
from paceline.contracts.admission.ledger import LeaseRelease, LeaseRequest, Quota

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
def test_no_minute_exceeds_the_quota_even_if_calls_arrive_late(
    arrivals: list[tuple[int, int]], quota: int, seed: random.Random
) -> None:
    window, now = RateWindow(), START
    charged: list[tuple[int, int]] = []
    for pause, amount in arrivals:
        now += pause
        window.expire(now)
        if not window.wait(now, amount, quota)[0]:
            window.charge(now, amount, quota)
            charged.append((now + seed.randint(0, MARGIN - 1), amount))
    assert most_in_a_minute(sorted(charged)) <= quota


@given(quota=st.integers(50, 5_000), most=st.integers(1, 20))
def test_a_caller_that_waits_as_required_uses_nearly_all_of_the_quota(
    quota: int, most: int
) -> None:
    window, now, used = RateWindow(), START, 0
    amount = max(1, quota // (20 * most))
    while now < START + 6 * MINUTE:
        window.expire(now)
        wait, _ = window.wait(now, amount, quota)
        if wait:
            now += wait
            continue
        window.charge(now, amount, quota)
        if now >= START + 2 * MINUTE:
            used += amount
    assert used >= 0.97 * 4 * (quota - amount)


@given(quota=st.integers(30, 5_000))
def test_a_burst_does_not_repeat_each_minute(quota: int) -> None:
    window, now = RateWindow(), START
    charged: list[tuple[int, int]] = []
    while now < START + 4 * MINUTE:
        window.expire(now)
        wait, _ = window.wait(now, 1, quota)
        if wait:
            now += wait
        else:
            window.charge(now, 1, quota)
            charged.append((now, 1))
    for second in range(START, START + 3 * MINUTE, 5_000):
        in_five = sum(second <= when < second + 5_000 for when, _ in charged)
        assert in_five <= 1 + quota * 1.05 * 6.75 / 60


@given(
    calls=st.lists(
        st.tuples(st.integers(1, 500), st.none() | st.integers(0, 800)), min_size=1, max_size=30
    )
)
def test_reservations_are_corrected_or_refunded(
    calls: list[tuple[int, int | None]],
) -> None:
    table = LeaseTable(lease=60_000, confirm=5_000)
    quota = Quota(requests=1_000_000, tokens=100_000_000)
    request = LeaseRequest("run", [cost for cost, _ in calls])
    answer = table.sync(START, quota=quota, holder="a", requests=[request])
    assert answer.use.tokens == sum(cost for cost, _ in calls)
    releases = [
        LeaseRelease(lease.name, tokens=real)
        for lease, (_, real) in zip(answer.leases, calls, strict=True)
    ]
    use = table.sync(START + 9_000, quota=quota, holder="a", releases=releases).use
    counted = [cost if real is None else real for cost, real in calls]
    assert use.tokens == sum(counted)
    assert use.requests == sum(1 for _, real in calls if real != 0)
    assert use.out == 0
    later = table.sync(START + 2 * MINUTE, quota=quota, holder="a")
    assert (later.use.tokens, later.use.requests) == (0, 0)


def test_after_a_refusal_calls_restart_at_the_pace_and_not_as_a_burst() -> None:
    table, quota = LeaseTable(lease=600_000, confirm=5_000), Quota(requests=600)
    grant = table.sync(START, quota=quota, holder="a", requests=[LeaseRequest("run", [0] * 400)])
    refused = [
        LeaseRelease(one.name, tokens=0, refused=True, retry_after=2.0) for one in grant.leases
    ]
    assert len(refused) > 10, "at first, a burst"
    now, started = START + 300, list[int]()
    answer = table.sync(now, quota=quota, holder="a", releases=refused)
    while now < START + 12_300:
        assert answer.retry_in is not None
        now += answer.retry_in
        confirmed = [int(lease.name.partition(".")[0]) for lease in answer.leases]
        answer = table.sync(now, quota=quota, holder="a", confirmed=confirmed)
        started += [now] * len(answer.leases)
    assert started[0] == START + 2_300
    for since in range(START + 2_300, START + 11_300, 500):
        in_a_second = sum(since <= when < since + 1_000 for when in started)
        assert in_a_second <= 600 * 1.05 / 60 + 3


def test_a_call_above_the_quota_counts_as_the_whole_quota() -> None:
    table, quota = LeaseTable(lease=600_000, confirm=5_000), Quota(tokens=100)
    answer = table.sync(START, quota=quota, holder="a", requests=[LeaseRequest("run", [900, 1])])
    assert [lease.cost for lease in answer.leases] == [100]
    assert answer.retry_in is not None
    later = START + answer.retry_in
    assert len(table.sync(later, quota=quota, holder="a").leases) == 2


def test_our_own_earlier_use_is_not_mistaken_for_that_of_others() -> None:
    window = RateWindow()
    window.charge(START, 90, 100)
    window.expire(START + 61_500)
    assert window.total == 0
    # The answer of a long call reports what the provider had counted at its start.
    assert window.used_by_others(START, 90, 100) == 0
    window.charge(START + 61_500, 50, 100)
    window.correct(START + 61_500, -40, 100)
    assert window.used_by_others(START + 61_500, 52, 100) == 0, (
        "a difference of 2 % may be an error of estimates"
    )
    assert window.used_by_others(START + 61_500, 70, 100) == 20
