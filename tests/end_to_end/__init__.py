"""The commands as a user types them, in process and on SQLite."""
