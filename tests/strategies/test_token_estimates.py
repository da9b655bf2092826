"""TokenEstimates of tokens, corrected by what the provider counted."""

import random

from hypothesis import given
from hypothesis import strategies as st
from paceline_strategies.token_estimates import TokenEstimates


def test_an_estimate_is_used_as_is_until_a_call_ends() -> None:
    assert TokenEstimates().reserve("model", "quiz", 500) == 500


@given(off=st.floats(0.1, 10.0))
def test_the_first_finished_call_corrects_all_later_estimates(off: float) -> None:
    estimates = TokenEstimates()
    estimates.observe("model", "quiz", estimate=1000, real=round(1000 * off))
    assert abs(estimates.reserve("model", "quiz", 2000) - 2000 * off) <= 2


def test_each_model_and_step_is_learned_separately() -> None:
    estimates = TokenEstimates()
    estimates.observe("model", "quiz", estimate=100, real=300)
    assert estimates.reserve("model", "tutorial", 100) == 100
    assert estimates.reserve("other", "quiz", 100) == 100
    assert estimates.reserve("model", "quiz", 100) == 300


def test_most_calls_cost_slightly_less_than_reserved() -> None:
    chance = random.Random(1)
    estimates, over, reserved, spent = TokenEstimates(), 0, 0, 0
    for number in range(2000):
        real = round(1000 * chance.uniform(0.8, 1.2))
        if number > 100:
            cost = estimates.reserve("m", "s", 1000)
            over += real > cost
            reserved += cost
            spent += real
        estimates.observe("m", "s", estimate=1000, real=real)
    assert over < 0.35 * 1900
    assert reserved < 1.2 * spent


@given(estimate=st.integers(-5, 10**9), real=st.integers(-5, 10**9))
def test_implausible_costs_are_not_learned(estimate: int, real: int) -> None:
    estimates = TokenEstimates()
    estimates.observe("m", "s", estimate=estimate, real=real)
    assert 1 <= estimates.reserve("m", "s", 100) <= 10_000
