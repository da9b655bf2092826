"""Generate content for roadmaps, with interchangeable strategies and executors."""
