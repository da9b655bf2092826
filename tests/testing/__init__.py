"""Tests of what tests are made of."""
