"""Commands for workers, limits and the store while everything runs."""
