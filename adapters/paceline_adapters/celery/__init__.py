"""Runs in Celery workers, with Redis as the broker.

Two lines beside the definition of your own Celery app make it generate roadmaps too::

    from paceline_adapters.celery import install

    install(app)

Then ``celery -A your_app worker -Q content_generation --prefetch-multiplier 1`` takes runs,
on the pools ``prefork`` and ``threads``.
"""

from pathlib import Path
from typing import Any


def install(app: Any, config: Path | None = None) -> None:
    """Add roadmap generation to an existing Celery app and submit runs through that app.

    This adds one task, ``paceline.generate``, with its own time limits and acknowledgement.
    The app's settings and its other tasks do not change. Celery has one prefetch multiplier
    per worker, so set it to 1 for the workers of this queue: roadmaps are long tasks.

    Args:
        app: the ``celery.Celery``.
        config: paceline's settings file, instead of ``paceline.toml`` in the current folder.
            Environment variables apply as usual. The executor is always ``celery``.

    Raises:
        SettingsError: a setting is invalid, or ``redis.url`` is missing, or a setting of the app
            conflicts with the task. The message names the line to add to its configuration.
    """
    from paceline_adapters.celery.existing_app import install_with_settings

    install_with_settings(app, config)
