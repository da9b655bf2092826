"""Runs in this process, with the store as the queue."""
