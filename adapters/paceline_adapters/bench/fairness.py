"""Fairness between the small and the large roadmaps of a round."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from paceline_adapters.bench.bounds import RoadmapCalls

#: Seconds that no schedule of this work can beat.
Bound = Callable[[Sequence[RoadmapCalls]], float]


def unfairness(
    ends: Mapping[str, float], plans: Mapping[str, RoadmapCalls], bound: Bound
) -> float | None:
    """How much longer one size of roadmap was kept waiting than the other; 1.0 is fair.

    A roadmap with fewer concepts than the mean is small, and one with more is large. Their mean
    slowdowns are compared. The slowdown is the time until the end ÷ the lower bound of the
    roadmap alone.

    Args:
        ends: seconds from the start of the round to the end of each roadmap, by name.
        plans: the calls of each roadmap, by name.
        bound: the lower bound of some roadmaps.

    Returns:
        The ratio of the slowdowns, at least 1; ``None`` if all roadmaps have the same size.
    """
    slowdowns = {
        name: ends[name] / alone
        for name, plan in plans.items()
        if name in ends and (alone := bound([plan])) > 0
    }
    if not slowdowns:
        return None
    middle = fmean(len(plans[name]) for name in slowdowns)
    small = [value for name, value in slowdowns.items() if len(plans[name]) < middle]
    large = [value for name, value in slowdowns.items() if len(plans[name]) > middle]
    if not small or not large:
        return None
    ratio = fmean(small) / fmean(large)
    return max(ratio, 1 / ratio)
