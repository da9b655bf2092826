"""Limits: how many may be out at once. Arithmetic only; no clock, no lock, no waiting."""

from paceline_strategies.limits.adaptive import Adaptive
from paceline_strategies.limits.aimd import Aimd
from paceline_strategies.limits.fixed import Fixed, Limit, Sample
from paceline_strategies.limits.gradient import Gradient, Verdict
from paceline_strategies.limits.period import Period, Times
from paceline_strategies.limits.rate import Rate

__all__ = [
    "Adaptive",
    "Aimd",
    "Fixed",
    "Gradient",
    "Limit",
    "Period",
    "Rate",
    "Sample",
    "Times",
    "Verdict",
]
