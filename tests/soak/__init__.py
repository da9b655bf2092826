"""Long suites: hundreds of kills of real processes; run by `make soak`."""
