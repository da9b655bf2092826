"""Runs in Celery workers, with Redis as the broker.

A Celery app of your own works on roadmaps too, after two lines beside its definition::

    from paceline_adapters.celery import install

    install(app)

Then ``celery -A your_app worker -Q content_generation --prefetch-multiplier 1`` takes runs,
on the pools ``prefork`` and ``threads``.
"""

from pathlib import Path
from typing import Any


def install(app: Any, config: Path | None = None) -> None:
    """Teach an existing Celery app to work on roadmaps, and submit through it from now on.

    It adds one task, ``paceline.generate``, with limits and acknowledgement of its own. The
    app's settings and its other tasks stay as they are: so the prefetch multiplier, which
    Celery knows per worker only, is the app's (1 is what long tasks want).

    Args:
        app: the ``celery.Celery``.
        config: paceline's settings file, instead of ``paceline.toml`` of the folder. The
            environment counts as everywhere; the executor is ``celery``, whatever is set.

    Raises:
        SettingsError: a setting is wrong, or ``redis.url`` is missing.
    """
    from paceline_adapters.celery.app import install_with_settings

    install_with_settings(app, config)
