"""Reading a run for exporters, and the built-in exporters ``markdown`` and ``json``."""
