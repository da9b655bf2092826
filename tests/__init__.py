"""The tests of paceline."""
