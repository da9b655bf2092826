"""Delivers what is in the outbox to the sinks."""
