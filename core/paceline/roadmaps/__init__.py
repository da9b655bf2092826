"""Roadmaps: the model, and how files and requests become one."""
