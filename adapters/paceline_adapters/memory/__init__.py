"""Parts that live in one process: for tests, trials and a single worker."""
