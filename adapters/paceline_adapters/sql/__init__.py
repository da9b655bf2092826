"""The SQL store: SQLite embedded, PostgreSQL in production."""
