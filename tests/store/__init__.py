"""One suite for all stores, and what is special to the databases."""
