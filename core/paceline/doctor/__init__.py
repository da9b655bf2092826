"""What ``paceline doctor`` checks."""
