"""The Celery executor: its options, its app, and real worker processes on real servers."""
