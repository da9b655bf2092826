"""When runs will end: the course of a forecast, corrected by what has happened so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Course:
    """When a forecast saves its artifacts.

    Attributes:
        concepts: number of concepts of the forecast.
        saves: seconds from the start until each artifact is saved, in order; at least one.
    """

    concepts: int
    saves: Sequence[float]

    @classmethod
    def of(cls, concepts: int, draws: Sequence[Sequence[float]]) -> "Course | None":
        """The median of some draws; ``None`` if one of them saves nothing."""
        ordered = [sorted(one) for one in draws]
        number = min(map(len, ordered), default=0)
        if not number:
            return None
        return cls(concepts, [median(one[at] for one in ordered) for at in range(number)])

    @property
    def end(self) -> float:
        """Seconds until the last artifact."""
        return self.saves[-1]

    def at(self, share: float) -> float:
        """Seconds until this share of the artifacts is saved."""
        place = math.ceil(share * len(self.saves) - 1e-9) - 1
        return self.saves[min(max(place, 0), len(self.saves) - 1)]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of runs of any size: the courses of a small and of a large forecast.

    Two forecasts are enough for all runs, because time grows evenly with the number of concepts.

    Attributes:
        steps: number of artifacts of a concept.
        source: what the latencies rest on, in words.
    """

    small: Course
    large: Course
    steps: int
    source: str = ""

    def seconds_left(self, *, made: int, left: int, elapsed: float) -> float:
        """Seconds until all artifacts are saved.

        As long as the work is where the forecast expects it, the rest of the forecast counts. If
        it is behind or ahead, the rest becomes longer or shorter in the same proportion.

        Args:
            made: artifacts that were saved.
            left: artifacts that are not saved yet.
            elapsed: seconds since the start.
        """
        if left <= 0:
            return 0.0
        total = made + left
        course, scale = self._course_of(total / self.steps)
        pace = 1.0
        if elapsed > 0:
            # The last artifact was due before now, and the next one is due after now.
            slowest = elapsed / (scale * course.at(made / total)) if made else math.inf
            fastest = elapsed / (scale * course.at((made + 1) / total))
            pace = min(max(pace, fastest), slowest)
        return max(0.0, pace * scale * course.end - elapsed)

    def _course_of(self, concepts: float) -> tuple[Course, float]:
        """The course of a run of some concepts, and the factor of its times."""
        small, large = self.small, self.large
        nearest = small if concepts < (small.concepts + large.concepts) / 2 else large
        grows = max(0.0, (large.end - small.end) / (large.concepts - small.concepts))
        # A run of few concepts takes at least as long as its first artifact.
        expected = max(small.at(0.0), small.end + grows * (concepts - small.concepts))
        return nearest, expected / nearest.end
