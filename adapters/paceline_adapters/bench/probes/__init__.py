"""What is read while a round goes on: processes, the database server, the provider's log."""
