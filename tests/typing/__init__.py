"""Files that mypy checks and no test runs."""
