"""The checks of ``paceline doctor``."""
