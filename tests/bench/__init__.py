"""The benchmark engine, on very little work and real servers."""
