"""Limits that learn: how many calls may be in flight. Arithmetic only; no clock, no waiting."""

from paceline_strategies.limits.adaptive import Adaptive
from paceline_strategies.limits.aimd import Aimd
from paceline_strategies.limits.gradient import Gradient, Verdict
from paceline_strategies.limits.period import Period, StepTimes
from paceline_strategies.limits.rate import Rate

__all__ = ["Adaptive", "Aimd", "Gradient", "Period", "Rate", "StepTimes", "Verdict"]
