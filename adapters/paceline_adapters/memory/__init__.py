"""Parts that live in one process: nothing to install, nothing shared, nothing kept."""
