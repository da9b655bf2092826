"""The benchmark engine: every combination of strategy, executor and store, on real parts."""
