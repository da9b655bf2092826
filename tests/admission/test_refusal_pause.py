"""One pause for each burst of refusals, and a slow restart."""

import itertools

import pytest
from paceline.admission.refusal_pause import LONGEST_PAUSE, RESTART, RefusalPause

NOW = 1_000_000


def test_all_calls_wait_as_long_as_the_provider_asked() -> None:
    pause = RefusalPause()
    pause.call_refused(NOW, NOW - 500, 1, 7_000)
    assert pause.wait(NOW, None) == 7_000
    assert pause.wait(NOW + 6_999, None) == 1
    assert pause.wait(NOW + 7_000, None) == 0


def test_a_burst_makes_one_pause_and_later_refusals_only_extend_it() -> None:
    pause = RefusalPause()
    pause.call_refused(NOW, NOW - 500, 1, None)
    first = pause.until
    for number in range(2, 50):
        pause.call_refused(NOW + number, NOW - 400, number, None)
    assert pause.until == first
    pause.call_refused(NOW + 60, NOW - 300, 60, 9_000)
    assert pause.until == NOW + 60 + 9_000


def test_pauses_double_with_each_burst_until_a_call_succeeds() -> None:
    pause, now = RefusalPause(), NOW
    pauses: list[int] = []
    for number in range(12):
        pause.call_refused(now, now, number, None)
        pauses.append(pause.until - now)
        now = pause.until + 1
    for earlier, later in itertools.pairwise(pauses[:6]):
        assert 1.1 < later / earlier < 3.4
    assert LONGEST_PAUSE * 0.75 <= pauses[-1] <= LONGEST_PAUSE * 1.25
    pause.call_succeeded(NOW)  # a call from before the pause proves nothing
    pause.call_refused(now, now, 1, None)
    assert pause.until - now > 40_000
    pause.call_succeeded(pause.until)
    now = pause.until + 1
    pause.call_refused(now, now, 1, None)
    assert pause.until - now < 1_300


@pytest.mark.parametrize("retry_after", [0, 40])
def test_a_provider_that_refuses_all_calls_gets_fewer_and_fewer(retry_after: int) -> None:
    pause, now = RefusalPause(), NOW
    calls = 0
    while now < NOW + 600_000:
        calls += 1
        pause.call_refused(now, now, calls, retry_after)
        assert pause.until >= now + retry_after
        now = pause.until + 1
    assert calls < 25
    pause.call_succeeded(pause.until)
    pause.call_refused(now, now, 1, retry_after)
    assert pause.until - now == max(20, retry_after), (
        "after a success, the retry-after of the provider counts again"
    )


@pytest.mark.parametrize("concurrency", [1, 8, 64, 1000])
def test_calls_restart_one_by_one_and_not_all_at_once(concurrency: int) -> None:
    pause = RefusalPause()
    pause.call_refused(NOW, NOW - 1, 1, 1_000)
    now, started = pause.until, list[int]()
    while now < pause.until + RESTART and len(started) < concurrency:
        wait = pause.wait(now, concurrency)
        if wait:
            now += wait
        else:
            pause.call_started(now, concurrency)
            started.append(now)
    in_the_first_second = sum(when < pause.until + 1_000 for when in started)
    assert 1 <= in_the_first_second <= 1 + concurrency * 1_100 / RESTART
    assert pause.wait(pause.until + RESTART, concurrency) == 0
