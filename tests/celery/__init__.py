"""The Celery executor: options, app, and real worker processes with real servers."""
