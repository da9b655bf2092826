"""Measurements; none is collected by `make test`."""
