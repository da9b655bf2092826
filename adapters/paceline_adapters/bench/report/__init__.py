"""The report: one HTML page for choosing a setting, and its data as JSON and CSV."""

from paceline_adapters.bench.report.preference import Preference
from paceline_adapters.bench.report.ranking import Constraints, rank
from paceline_adapters.bench.report.ranking_json import ranking_to_json
from paceline_adapters.bench.report.reasons import reasons, verdict_line
from paceline_adapters.bench.report.write import render, write_report

__all__ = [
    "Constraints",
    "Preference",
    "rank",
    "ranking_to_json",
    "reasons",
    "render",
    "verdict_line",
    "write_report",
]
