"""Built-in executors, stores, providers and event buses of paceline."""
