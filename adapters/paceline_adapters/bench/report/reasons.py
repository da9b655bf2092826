"""Why a setting is recommended, in words: what decided, and what ties."""

from collections.abc import Sequence
from statistics import median

from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.bench.report.formatting import listed, quantity
from paceline_adapters.bench.report.preference import CRITERIA, REDIS, Decision, values_of
from paceline_adapters.bench.report.ranking import Ranking
from paceline_adapters.bench.results import CellResults

#: Maximum number of names in a sentence.
_NAMES = 3


def reasons(ranking: Ranking) -> list[str]:
    """Sentences about how the recommended setting was found; none without such a setting."""
    if not ranking.tied:
        return []
    found: list[str] = []
    main = CRITERIA[ranking.prefer][0]
    if 1 < len(ranking.first) < len(ranking.met) or len(ranking.tied) < len(ranking.first):
        found.append(f"Tie in {title_of(main)}: {_names(ranking.first)}.")
    found += [_decided(one) for one in ranking.decisions]
    if len(ranking.tied) > 1:
        cells = [one.cell for one in ranking.tied]
        found.append(f"Tie: no criterion separates {_names(cells)} by more than the spread.")
    return found


def verdict_line(ranking: Ranking) -> str:
    """The result in one line."""
    best = ranking.recommended
    if best is None:
        return "No measured setting meets all bounds."
    if len(ranking.tied) > 1:
        others = [one.cell for one in ranking.tied[1:]]
        return f"Tie: {best.cell.name}, together with {_names(others)}."
    return f"Recommended: {best.cell.name}."


def title_of(criterion: str) -> str:
    """The name of a criterion, in a sentence."""
    if criterion == REDIS:
        return "the need of Redis"
    title = FIGURES[criterion].title
    return title if title[:2].isupper() else title[0].lower() + title[1:]


def _decided(decision: Decision) -> str:
    best = _middle(decision.kept, decision.criterion)
    rest = _middle(decision.dropped, decision.criterion)
    if decision.criterion == REDIS:
        return f"Without Redis: {_names(decision.kept)}."
    unit = FIGURES[decision.criterion].unit
    return (
        f"Decided by {title_of(decision.criterion)}: {quantity(best, unit)} against "
        f"{quantity(rest, unit)} or more ({_names(decision.kept)})."
    )


def _middle(cells: Sequence[CellResults], criterion: str) -> float:
    """The lowest median of the cells."""
    return min(median(values_of(cell, criterion)) for cell in cells)


def _names(cells: Sequence[CellResults]) -> str:
    names = [cell.name for cell in cells[:_NAMES]]
    more = len(cells) - _NAMES
    return listed([*names, *([f"{more} more"] if more > 0 else [])])
