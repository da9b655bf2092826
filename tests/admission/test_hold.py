"""One pause for each burst of refusals, and a slow return."""

import itertools

import pytest
from paceline.admission.refusal_pause import LONGEST, RETURN, Hold

NOW = 1_000_000


def test_all_wait_as_long_as_the_provider_asked() -> None:
    hold = Hold()
    hold.refuse(NOW, NOW - 500, 1, 7_000)
    assert hold.wait(NOW, None) == 7_000
    assert hold.wait(NOW + 6_999, None) == 1
    assert hold.wait(NOW + 7_000, None) == 0


def test_a_burst_makes_one_pause_and_each_refusal_of_it_only_its_own() -> None:
    hold = Hold()
    hold.refuse(NOW, NOW - 500, 1, None)
    first = hold.until
    for number in range(2, 50):
        hold.refuse(NOW + number, NOW - 400, number, None)
    assert hold.until == first
    hold.refuse(NOW + 60, NOW - 300, 60, 9_000)
    assert hold.until == NOW + 60 + 9_000


def test_pauses_double_from_burst_to_burst_until_calls_end_well() -> None:
    hold, now = Hold(), NOW
    pauses: list[int] = []
    for number in range(12):
        hold.refuse(now, now, number, None)
        pauses.append(hold.until - now)
        now = hold.until + 1
    for earlier, later in itertools.pairwise(pauses[:6]):
        assert 1.1 < later / earlier < 3.4
    assert LONGEST * 0.75 <= pauses[-1] <= LONGEST * 1.25
    hold.relent(NOW)  # a call of before says nothing
    hold.refuse(now, now, 1, None)
    assert hold.until - now > 40_000
    hold.relent(hold.until)
    now = hold.until + 1
    hold.refuse(now, now, 1, None)
    assert hold.until - now < 1_300


@pytest.mark.parametrize("says", [0, 40])
def test_who_only_refuses_is_asked_less_and_less_whatever_it_says(says: int) -> None:
    hold, now = Hold(), NOW
    asked = 0
    while now < NOW + 600_000:
        asked += 1
        hold.refuse(now, now, asked, says)
        assert hold.until >= now + says
        now = hold.until + 1
    assert asked < 25
    hold.relent(hold.until)
    hold.refuse(now, now, 1, says)
    assert hold.until - now == max(20, says), "after a call that ended well, its word counts again"


@pytest.mark.parametrize("concurrency", [1, 8, 64, 1000])
def test_calls_return_one_by_one_and_not_all_at_once(concurrency: int) -> None:
    hold = Hold()
    hold.refuse(NOW, NOW - 1, 1, 1_000)
    now, started = hold.until, list[int]()
    while now < hold.until + RETURN and len(started) < concurrency:
        wait = hold.wait(now, concurrency)
        if wait:
            now += wait
        else:
            hold.grant(now, concurrency)
            started.append(now)
    in_the_first_second = sum(when < hold.until + 1_000 for when in started)
    assert 1 <= in_the_first_second <= 1 + concurrency * 1_100 / RETURN
    assert hold.wait(hold.until + RETURN, concurrency) == 0
