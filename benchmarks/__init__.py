"""Benchmarks. Each command answers one question; see its ``--help``.

=========================================  ====================================================
``paceline bench`` or ``make bench``       Which strategy, executor and store for this work?
``pytest benchmarks --benchmark-only``     The same with pytest-benchmark; an admission, a call.
``python -m benchmarks.start``             What does a command cost before it works?
``python -m benchmarks.overhead``          What is paceline's overhead over a bare script?
``python -m benchmarks.growth``            Is the cost per concept the same at 100 000?
``python -m benchmarks.ended_runs``        What does a run cost beside 10 000 ended ones?
``python -m benchmarks.saves``             What is the gain of group commits?
``python -m benchmarks.adaptive``          Does ``adaptive`` find an unknown limit?
``python -m benchmarks.plan``              Are the forecasts of ``paceline plan`` true?
``python -m benchmarks.live``              What do 1 000 subscribed sockets cost?
``python -m benchmarks.verdicts``          Which claims about Celery and asyncio are true?
=========================================  ====================================================

Cells, rounds and figures come from ``paceline_adapters.bench``, which is installed with the
package. ``contestants/`` contains hand-written programs. The pages benchmarks, performance and
growth in ``docs/`` describe the results. ``make test`` runs none of them.
"""
