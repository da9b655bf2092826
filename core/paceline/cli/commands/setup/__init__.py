"""Commands that set paceline up and check it."""
