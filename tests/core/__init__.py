"""Tests of the framework itself."""
