"""The arithmetic of limits over all workers."""
