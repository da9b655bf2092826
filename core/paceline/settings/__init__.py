"""Settings: what can be set, where values come from, how they are shown."""
