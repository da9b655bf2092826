"""Submitting, steering, following, reading and showing runs."""
