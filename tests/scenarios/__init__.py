"""Scenario files: a provider, workers, a load, events, and the expected figures.

Each ``*.toml`` here is one scenario, played in virtual time with the real strategies, limiters,
callers and ledger arithmetic; only the provider is a model. Those with a ``real`` table are also
played by worker processes with Valkey and the simulator. ``expect`` gives ranges for spans of
time, and a scenario that leaves them fails with the measured figures beside them.
"""
