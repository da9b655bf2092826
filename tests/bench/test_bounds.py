"""The lower bound and the list schedule."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline_adapters.bench.bounds import Limits, RoadmapCalls, list_schedule, lower_bound

seconds = st.integers(1, 9).map(float)
chains = st.lists(st.tuples(seconds, st.integers(1, 5)), min_size=1, max_size=3)
plans = st.lists(st.lists(chains, min_size=1, max_size=3), min_size=1, max_size=3)
maybe = st.none() | st.integers(1, 4)
limits = st.builds(
    Limits,
    roadmaps=maybe,
    concepts=maybe,
    calls=maybe,
    requests=maybe,
    tokens=st.none() | st.integers(5, 20),
    window=st.just(10.0),
)


def three_steps(*lengths: float) -> list[tuple[float, int]]:
    return [(length, 1) for length in lengths]


@given(plans, limits)
def test_no_order_is_faster_than_the_lower_bound(work: list[RoadmapCalls], under: Limits) -> None:
    orders = [[list(concepts) for concepts in permutations(plan)][-1] for plan in work]
    found = [
        list_schedule(order, under)
        for start in (work, orders)
        for order in map(list, permutations(start))
    ]
    assert lower_bound(work, under) <= min(found) + 1e-9


@given(plans, limits, st.sampled_from(["roadmaps", "concepts", "calls", "requests", "tokens"]))
def test_a_higher_limit_never_raises_the_lower_bound(
    work: list[RoadmapCalls], under: Limits, name: str
) -> None:
    limit = getattr(under, name)
    if limit is not None:
        assert lower_bound(work, replace(under, **{name: limit + 1})) <= lower_bound(work, under)
        without: dict[str, Any] = {name: None}
        assert lower_bound(work, replace(under, **without)) <= lower_bound(work, under)


@given(plans)
def test_without_limits_both_equal_the_longest_concept(work: list[RoadmapCalls]) -> None:
    longest = max(sum(took for took, _ in chain) for plan in work for chain in plan)
    assert lower_bound(work, Limits()) == list_schedule(work, Limits()) == longest


FOUR = [[three_steps(3, 2, 1)] * 4, [three_steps(3, 2, 1)] * 4]


@pytest.mark.parametrize(
    ("under", "takes"),
    [
        (Limits(concepts=2), 12.0),
        (Limits(roadmaps=1), 12.0),
        (Limits(roadmaps=1, concepts=1), 48.0),
        (Limits(calls=1), 48.0),
        (Limits(concepts=100, calls=100), 6.0),
    ],
)
def test_equal_concepts_are_scheduled_without_gaps(under: Limits, takes: float) -> None:
    assert lower_bound(FOUR, under) == list_schedule(FOUR, under) == takes


def test_a_quota_delays_calls_by_whole_windows() -> None:
    one_call_each = [[three_steps(1.0)] * 7]
    under = Limits(requests=3, window=60.0)
    assert lower_bound(one_call_each, under) == list_schedule(one_call_each, under) == 121.0
    by_tokens = [[[(1.0, 50)]] * 4]
    under = Limits(tokens=100, window=60.0)
    assert lower_bound(by_tokens, under) == list_schedule(by_tokens, under) == 61.0


def test_no_work_takes_no_time() -> None:
    assert lower_bound([], Limits(calls=1)) == list_schedule([], Limits(calls=1)) == 0.0
