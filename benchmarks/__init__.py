"""Measurements. Each command answers one question, and says by ``--help`` how.

=========================================  ====================================================
``paceline bench`` or ``make bench``       Which strategy, executor and store for this work?
``pytest benchmarks --benchmark-only``     The same by pytest-benchmark; an admission, a call.
``python -m benchmarks.overhead``          What does paceline cost beside a bare script?
``python -m benchmarks.growth``            Does a concept of 100 000 cost as one of 1 000?
``python -m benchmarks.saves``             What do saves gain that share a commit?
``python -m benchmarks.adaptive``          Does ``adaptive`` find the limit that nobody set?
``python -m benchmarks.live``              What does it cost to be watched by 1 000 sockets?
``python -m benchmarks.verdicts``          What of what is said of Celery and asyncio is true?
=========================================  ====================================================

Cells, rounds and figures are the engine's, ``paceline_adapters.bench``, which is installed with
the package; ``contestants/`` has the programs written by hand. Each has a page in ``docs/``:
benchmarks, performance, growth. ``make test`` collects none of it.
"""
