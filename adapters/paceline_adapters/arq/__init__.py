"""Runs in arq workers: one event loop per process, and a queue in Redis."""
