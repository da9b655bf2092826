"""Traces, metrics, and the log as JSON."""
