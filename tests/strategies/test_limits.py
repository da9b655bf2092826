"""The arithmetic of limits: bounds are kept, what is not used does not grow, all recovers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline_strategies.limits import Adaptive, Aimd, Gradient, Period, Rate, StepTimes
from pydantic import TypeAdapter

LEAST, MOST = 2, 60

STATES = TypeAdapter(Adaptive)


def period(
    now: float = 0.0,
    *,
    busy: float = 0.0,
    answered: int = 0,
    latency: float = 1.0,
    refused: int = 0,
    held: int | None = None,
    seconds: float = 2.0,
) -> Period:
    """What all workers saw in two seconds."""
    return Period(
        now=now,
        seconds=seconds,
        in_flight=round(busy) if held is None else held,
        mean_in_flight=busy,
        accepted=answered,
        refused=refused,
        load=busy,
        answers={"quiz": StepTimes(answered, answered * latency)} if answered else {},
    )


any_period = st.builds(
    period,
    busy=st.floats(0, 200),
    answered=st.integers(0, 300),
    latency=st.floats(0.001, 100),
    refused=st.just(0) | st.integers(0, 30),
    held=st.integers(0, 200),
)
histories = st.lists(any_period, max_size=40)


def began_at(start: int) -> Adaptive:
    """A limit that knows nothing yet."""
    return Adaptive(load=Aimd(least=LEAST, most=MOST, size=float(start)))


def after(limit: Adaptive, history: list[Period]) -> float:
    """Let a limit see a history, two seconds each; returns the time then."""
    now = 0.0
    for one in history:
        now += one.seconds
        limit.observe(_at(one, now))
    return now


def _at(one: Period, now: float) -> Period:
    return Period(
        now=now,
        seconds=one.seconds,
        in_flight=one.in_flight,
        mean_in_flight=one.mean_in_flight,
        accepted=one.accepted,
        refused=one.refused,
        load=one.load,
        answers=one.answers,
    )


def minutes(limit: Adaptive, now: float, count: int, *, capacity: int) -> tuple[float, float]:
    """So many minutes of more demand than a provider of that capacity takes.

    Returns:
        Calls that were in flight on average, and the share of looks with a refusal.
    """
    in_flight = refused = 0.0
    for look in range(12 * count):
        rate = limit.rate.limit
        wanted = float(limit.limit) if rate is None else min(float(limit.limit), rate / 60)
        busy = min(wanted, capacity)
        too_many = max(0, round(wanted - capacity))
        answered = round(5 * busy * (look + 1)) - round(5 * busy * look)
        then = now + 5.0 * (look + 1)
        limit.observe(period(then, busy=busy, answered=answered, refused=too_many, seconds=5.0))
        in_flight += busy
        refused += too_many > 0
    return in_flight / (12 * count), refused / (12 * count)


@given(history=histories, start=st.integers(LEAST, MOST))
def test_no_sample_moves_a_limit_outside_its_bounds(history: list[Period], start: int) -> None:
    limit = began_at(start)
    for count in range(len(history)):
        after(limit, history[count : count + 1])
        assert LEAST <= limit.limit <= MOST
        assert limit.rate.limit is None or limit.rate.limit >= 1
        assert limit.latency.reach(cut=True) > 0


@given(history=histories)
def test_a_limit_survives_being_saved_and_loaded(history: list[Period]) -> None:
    limit = began_at(8)
    after(limit, history)
    assert STATES.validate_json(STATES.dump_json(limit)) == limit


@given(history=histories, quiet=st.lists(any_period, max_size=40))
def test_an_unused_limit_does_not_grow(history: list[Period], quiet: list[Period]) -> None:
    limit = began_at(8)
    now = after(limit, history)
    before = limit.limit
    for one in quiet:
        now += one.seconds
        idle = period(now, busy=0.5 * limit.limit, answered=one.answered, refused=one.refused)
        limit.observe(idle)
        assert limit.limit <= before
        before = limit.limit


@settings(max_examples=30)
@given(history=histories, capacity=st.integers(4, 50))
def test_a_limit_recovers_from_any_sequence_of_samples(
    history: list[Period], capacity: int
) -> None:
    limit = began_at(8)
    now = after(limit, history)
    minutes(limit, now, 40, capacity=capacity)
    busy, refused = minutes(limit, now + 40 * 60, 10, capacity=capacity)
    assert busy >= 0.75 * capacity
    assert refused < 0.25


def test_a_limit_at_its_lower_bound_forgets_a_latency_that_it_cannot_measure_again() -> None:
    limit = began_at(LEAST)
    now = after(limit, [period(busy=1.0, answered=16, latency=0.5)])
    minutes(limit, now, 40, capacity=4)
    busy, _ = minutes(limit, now + 40 * 60, 10, capacity=4)
    assert busy >= 3


def test_one_burst_of_refusals_reduces_the_limit_once_to_the_accepted_calls() -> None:
    limit = began_at(50)
    limit.observe(period(2.0, busy=40.0, held=30, refused=14))
    assert limit.limit == 29
    assert limit.cuts == 1
    assert limit.reasons[-1][1] == "cut to 29: 14 calls refused with 30 in flight"


def test_a_reduction_is_at_most_by_half() -> None:
    limit = began_at(50)
    limit.observe(period(2.0, busy=40.0, held=1, refused=1))
    assert limit.limit == 25


def test_the_limit_doubles_until_the_first_refusal_and_then_probes_slowly() -> None:
    load = Aimd(least=1, most=1000, size=8.0)
    for _ in range(3):
        load.grow(period(busy=load.size, answered=load.limit, seconds=10.0))
    assert load.limit == 64
    load.cut(40.0)
    assert load.limit == 38
    limits: list[int] = []
    for _ in range(8):
        load.grow(period(busy=load.size, answered=load.limit, seconds=10.0))
        limits.append(load.limit)
    assert limits[:3] == [38, 38, 39]
    assert limits == sorted(limits)
    assert limits[-1] > 44


def test_repeated_reductions_at_one_level_slow_down_the_probing() -> None:
    load = Aimd(least=1, most=1000, size=50.0)
    waited: list[int] = []
    for _ in range(4):
        load.cut(40.0)
        rounds = 0
        while load.limit <= 38:
            load.grow(period(busy=load.size, answered=load.limit, seconds=10.0))
            rounds += 1
        waited.append(rounds)
    assert waited == sorted(waited)
    assert waited[-1] > waited[0]


@pytest.mark.parametrize("idle", [0.5, 20.0])
def test_calls_that_only_get_slower_are_recognised_at_any_latency(idle: float) -> None:
    gradient = Gradient()
    assert gradient.judge(period(busy=10, answered=64, latency=idle), 10) == "open"
    assert gradient.judge(period(busy=20, answered=64, latency=1.1 * idle), 20) == "grows"
    assert gradient.judge(period(busy=40, answered=64, latency=2.2 * idle), 40) == "knee"
    assert gradient.ratio == pytest.approx(2.0)
    assert 20 <= gradient.enough <= 30


def test_the_limit_grows_only_after_the_current_level_was_measured() -> None:
    gradient = Gradient()
    gradient.judge(period(busy=10, answered=64), 10)
    assert gradient.reach(cut=False) == 25
    assert gradient.reach(cut=True) == 17.5
    gradient.judge(period(busy=20, answered=64), 20)
    assert gradient.reach(cut=False) == 50


def test_a_provider_that_is_slow_at_any_load_does_not_keep_reducing_the_limit() -> None:
    limit = began_at(20)
    latency, now = 1.0, 0.0
    for step in range(60):
        now += 2.0
        latency = 1.0 if step < 10 else 4.0
        busy = limit.limit
        limit.observe(period(now, busy=busy, answered=max(1, busy), latency=latency))
    assert limit.limit > 20
    assert any("slower with fewer" in why for _, why in limit.reasons) or limit.limit == MOST


def test_each_step_is_compared_only_with_its_own_latency() -> None:
    gradient = Gradient()

    def mixed(busy: float, quizzes: int, tutorials: int) -> Period:
        done = {
            "quiz": StepTimes(quizzes, quizzes * 1.0),
            "tutorial": StepTimes(tutorials, tutorials * 30.0),
        }
        return Period(
            now=0.0,
            seconds=2.0,
            in_flight=0,
            mean_in_flight=busy,
            accepted=0,
            refused=0,
            load=busy,
            answers=done,
        )

    gradient.judge(mixed(10, 60, 4), 10)
    assert gradient.judge(mixed(20, 4, 60), 20) == "grows"
    assert gradient.ratio == pytest.approx(1.0)


def test_a_rate_limit_starts_at_the_calls_accepted_in_the_minute_before_a_refusal() -> None:
    rate, now = Rate(), 0.0
    for _ in range(30):
        now += 2.0
        rate.observe(period(now, answered=8))
    rate.cut(now)
    assert rate.limit == 235


def test_a_rate_limit_without_refusals_grows_faster_and_faster() -> None:
    rate, now = Rate(), 0.0
    for _ in range(30):
        now += 2.0
        rate.observe(period(now, answered=8))
    rate.cut(now)
    limits: list[int] = []
    for _ in range(300):
        now += 2.0
        rate.observe(period(now, answered=round((rate.limit or 0) / 30)))
        limits.append(rate.limit or 0)
    assert limits == sorted(limits)
    assert limits[-1] > 300
