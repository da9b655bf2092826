"""Eight things that are said of concurrency in Celery and asyncio, each measured.

    python -m benchmarks.verdicts                   # all, about fifteen minutes
    python -m benchmarks.verdicts prefetch memory   # some
    python -m benchmarks.verdicts --json

Every verdict is drawn by a rule from the figures of the same call, so it can come out otherwise
on another machine; ``docs/explanation/verdicts.md`` is the page that discusses one such call.
"""
