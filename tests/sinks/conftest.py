"""A terminal for the commands."""

from tests.cli.conftest import paceline

__all__ = ["paceline"]
