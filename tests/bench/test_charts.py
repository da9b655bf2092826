"""The charts of the report: axes, shades and labels."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline_adapters.bench.report.axis import Axis
from paceline_adapters.bench.report.formatting import number
from paceline_adapters.bench.report.heatmap import shade
from paceline_adapters.bench.report.pareto_chart import Box, place_labels
from paceline_adapters.bench.report.timelines import thinned

_finite = st.floats(0, 1e6)


@given(
    st.lists(
        st.tuples(st.floats(0, 600), st.floats(0, 300), st.text("ab", min_size=1, max_size=40)),
        max_size=30,
    )
)
def test_labels_overlap_neither_labels_nor_points_and_stay_inside(
    points: list[tuple[float, float, str]],
) -> None:
    inside = Box(0, 0, 600, 300)
    dots = [Box(x - 5, y - 5, x + 5, y + 5) for x, y, _ in points]
    found = place_labels(points, dots, inside)
    boxes = [box for box in found if box is not None]
    assert len(found) == len(points)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.overlaps(dot) for box in boxes for dot in dots)
    assert all(0 <= box.left < box.right <= 600 for box in boxes)
    assert all(0 <= box.top < box.bottom <= 300 for box in boxes)


def test_the_label_of_a_single_point_is_at_its_right() -> None:
    (box,) = place_labels([(100, 100, "name")], [Box(95, 95, 105, 105)], Box(0, 0, 600, 300))
    assert box is not None
    assert 105 <= box.left <= 115
    assert box.top < 100 < box.bottom


@given(st.lists(_finite, min_size=1, max_size=20))
def test_darker_shades_are_larger_values(values: list[float]) -> None:
    shades = [shade(value, values) for value in sorted(values)]
    assert shades == sorted(shades)
    assert set(shades) <= set(range(9))
    if len(set(values)) > 1:
        assert (shades[0], shades[-1]) == (0, 8)


@given(st.lists(_finite, min_size=1, max_size=20))
def test_an_axis_contains_all_values_and_its_ticks(values: list[float]) -> None:
    axis = Axis.around(values, 50, 600)
    assert all(50 <= axis.at(value) <= 600 for value in values)
    ticks = axis.ticks(6)
    assert all(50 <= axis.at(tick) <= 600 for tick in ticks)
    assert 1 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000)), min_size=1, max_size=500),
)
def test_a_thinned_line_keeps_its_peak(samples: list[tuple[float, float]]) -> None:
    samples = sorted(samples)
    points = thinned([s for s, _ in samples], [v for _, v in samples], 100)
    assert len(points) <= 120
    assert max(value for _, value in points) == max(value for _, value in samples)
    assert [share for share, _ in points] == sorted({share for share, _ in points})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (8, "8"),
        (0.0042, "0.004"),
        (1.254, "1.25"),
        (12.46, "12.5"),
        (99.97, "100"),
        (227.0, "227"),
        (1234567.8, "1\u202f234\u202f568"),
        (-1.5, "-1.50"),
    ],
)
def test_numbers_have_at_most_three_significant_digits(value: float, shown: str) -> None:
    assert number(value) == shown
