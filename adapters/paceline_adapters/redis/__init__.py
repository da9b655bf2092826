"""Limits and events over all workers, in Redis or Valkey."""
