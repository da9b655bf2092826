"""Traces, metrics, and the JSON log."""
