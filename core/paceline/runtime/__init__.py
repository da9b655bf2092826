"""One worker process: it claims runs and generates their content."""
