"""The ranking for ``paceline bench --json``: the recommendation, and the reasons for it."""

import math
from dataclasses import asdict

from paceline_adapters.bench.report.formatting import NARROW_SPACE
from paceline_adapters.bench.report.ranking import Ranking
from paceline_adapters.bench.report.reasons import reasons, verdict_line
from paceline_adapters.bench.report.snippet import snippet


def ranking_to_json(ranking: Ranking) -> dict[str, object]:
    """The ranking as a JSON object; the names are stable. Cells have their names."""
    best = ranking.recommended
    return {
        "prefer": ranking.prefer,
        "constraints": asdict(ranking.constraints),
        "recommended": None if best is None else best.cell.name,
        "settings": None if best is None else snippet(best.cell),
        "verdict": verdict_line(ranking).replace(NARROW_SPACE, " "),
        "reasons": [reason.replace(NARROW_SPACE, " ") for reason in reasons(ranking)],
        "tied": [one.cell.name for one in ranking.tied],
        "met": [one.cell.name for one in ranking.met],
        "missed": [
            {"cell": one.cell.name, "excess": _finite(one.excess)} for one in ranking.missed
        ],
        "not_ranked": [cell.name for cell in ranking.not_ranked],
    }


def _finite(value: float) -> float | None:
    """A number that JSON has; ``None`` if the figure is unknown."""
    return value if math.isfinite(value) else None
