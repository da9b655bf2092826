"""Runs in arq workers: one event loop per process, a Redis queue between them."""
