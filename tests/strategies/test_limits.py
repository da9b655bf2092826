"""Limits as arithmetic: what they conclude from what was seen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline_strategies.limits import Adaptive, Aimd, Gradient, Period, Rate, Times
from pydantic import TypeAdapter

LEAST, MOST = 2, 200


def aimd(size: float = 8.0) -> Aimd:
    return Aimd(least=LEAST, most=MOST, size=size)


def period(
    now: float = 0.0,
    *,
    busy: float,
    answered: int = 0,
    each: float = 5.0,
    refused: int = 0,
    taken: int | None = None,
) -> Period:
    """Two seconds with so many calls in flight."""
    return Period(
        now=now,
        seconds=2.0,
        held=int(busy),
        busy=busy,
        taken=answered if taken is None else taken,
        refused=refused,
        done={"quiz": Times(answered, answered * each)} if answered else {},
    )


periods = st.lists(
    st.builds(
        period,
        busy=st.floats(0, 400),
        answered=st.integers(0, 200),
        each=st.floats(0.01, 100),
        refused=st.sampled_from([0, 0, 0, 1, 50]),
        taken=st.integers(0, 300),
    ),
    max_size=60,
)


def following(limit: Adaptive, seen: list[Period]) -> None:
    """Let a limit see periods, one after the other."""
    for number, one in enumerate(seen):
        limit.observe(
            Period(
                now=2.0 * number,
                seconds=one.seconds,
                held=one.held,
                busy=one.busy,
                taken=one.taken,
                refused=one.refused,
                done=one.done,
            )
        )
        assert LEAST <= limit.limit <= MOST
        assert limit.rate.limit is None or limit.rate.limit >= 1


@given(seen=periods)
def test_keeps_its_bounds_and_survives_being_written_down(seen: list[Period]) -> None:
    limit = Adaptive(load=aimd())
    following(limit, seen)
    states = TypeAdapter(Adaptive)
    assert states.validate_json(states.dump_json(limit)) == limit


@settings(max_examples=40)
@given(seen=periods)
def test_recovers_from_whatever_was_seen(seen: list[Period]) -> None:
    limit = Adaptive(load=aimd())
    following(limit, seen)
    for number in range(len(seen), len(seen) + 4000):
        size = limit.limit
        limit.observe(period(2.0 * number, busy=size, answered=max(1, size // 2)))
        if limit.limit == MOST:
            break
    assert limit.limit == MOST


@given(unused=st.floats(0, 0.7), periods=st.integers(1, 50))
def test_does_not_grow_when_it_is_not_used(unused: float, periods: int) -> None:
    limit = Adaptive(load=aimd(40.0))
    for number in range(periods):
        limit.observe(period(2.0 * number, busy=unused * 40, answered=20))
    assert limit.limit == 40


def test_doubles_each_round_until_it_is_refused() -> None:
    limit = aimd()
    sizes: list[int] = []
    for _ in range(3):
        limit.grow(period(busy=limit.limit, answered=limit.limit))
        sizes.append(limit.limit)
    assert sizes == [16, 32, 64]


def test_a_refusal_cuts_below_what_was_taken_and_at_most_by_half() -> None:
    limit = aimd(64.0)
    limit.cut(50)
    assert limit.limit == 48
    limit.cut(3)
    assert limit.limit == 24


def test_probes_rarely_and_gently_above_a_height_that_was_refused_again_and_again() -> None:
    limit, refused, answers = aimd(41.0), 0, 0
    for _ in range(400):
        if limit.limit > 40:
            refused += limit.limit - 40
            limit.cut(40)
        answers += limit.limit
        limit.grow(period(busy=limit.limit, answered=limit.limit))
    assert refused / answers < 0.02
    assert answers > 0.93 * 40 * 400


def test_rises_quickly_when_the_provider_takes_more_than_before() -> None:
    limit = aimd(20.0)
    limit.cut(20)
    rounds = 0
    while limit.limit < 100:
        limit.grow(period(busy=limit.limit, answered=limit.limit))
        rounds += 1
    assert rounds <= 10


@pytest.mark.parametrize("knee", [10, 15, 24, 40, 60])
def test_finds_the_knee_of_a_server_that_never_refuses(knee: int) -> None:
    limit = Adaptive(load=Aimd(least=1, most=1000, size=8.0))
    most = 0
    for number in range(600):
        size = limit.limit
        answered = max(1, round(2 * min(size, knee) / 5))
        each = 5 * max(1.0, size / knee)
        limit.observe(period(2.0 * number, busy=size, answered=answered, each=each))
        if number > 200:
            most = max(most, limit.limit)
            assert limit.limit >= 0.9 * knee
    assert most <= 4 * knee


def test_a_provider_that_became_slower_by_itself_is_not_taken_for_a_knee() -> None:
    gradient = Gradient()
    for _ in range(20):
        gradient.judge(period(busy=20, answered=20), 20)
    assert gradient.judge(period(busy=20, answered=20, each=15), 20) == "slow"
    assert gradient.judge(period(busy=12, answered=20, each=15), 12) == "slower"
    assert gradient.judge(period(busy=20, answered=20, each=15), 20) != "slow"


def test_finds_a_rate_where_refusals_come_with_little_in_flight() -> None:
    limit = Adaptive(load=aimd())
    for number in range(30):  # 240 calls in a minute, then refusals while few are in flight
        limit.observe(period(2.0 * number, busy=40, answered=8, taken=8))
    limit.observe(period(60.0, busy=10, refused=1, taken=0))
    assert limit.rate.limit is not None
    assert 210 <= limit.rate.limit <= 240
    assert "a minute" in limit.reasons[-1][1]


def test_a_rate_is_tried_again_a_little_higher() -> None:
    rate = Rate()
    for number in range(30):
        rate.note(period(2.0 * number, busy=9, taken=8))
    rate.cut(60.0)
    found = rate.limit or 0
    for number in range(30, 200):
        rate.note(period(2.0 * number, busy=9, taken=8))
    assert (rate.limit or 0) > found
