"""The report: one HTML page for choosing a setting, and its data as JSON and CSV."""

from paceline_adapters.bench.report.ranking import Constraints
from paceline_adapters.bench.report.write import render, write_report

__all__ = ["Constraints", "render", "write_report"]
