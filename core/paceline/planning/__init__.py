"""Forecasts: the settings, strategies and roadmaps of a run, played in virtual time."""
