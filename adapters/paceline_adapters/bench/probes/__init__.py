"""Sources of figures during a round: processes, the database server, the provider's log."""
