"""What tests of paceline, and of plugins for it, are made of."""
