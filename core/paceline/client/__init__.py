"""Submitting, steering, following and reading runs."""
