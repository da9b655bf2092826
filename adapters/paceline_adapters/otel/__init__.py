"""Traces and metrics by OpenTelemetry, sent over OTLP/HTTP."""
