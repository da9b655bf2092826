"""What ``paceline doctor`` finds, and how parts add to it."""

from paceline.doctor.finding import Finding, Level, ascending

__all__ = ["Finding", "Level", "ascending"]
