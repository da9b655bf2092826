"""What the executors have in common."""
