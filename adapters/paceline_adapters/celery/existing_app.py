"""Adds roadmap generation to a Celery app that exists already."""

from pathlib import Path
from typing import Any

from paceline.context import Context
from paceline.plugins import Plugins
from paceline.settings.load import load_settings, options_for

from paceline_adapters.celery.app import add_task
from paceline_adapters.celery.broker_url import broker_url
from paceline_adapters.celery.hooks import connect
from paceline_adapters.celery.options import NAME, CeleryOptions
from paceline_adapters.celery.runtime import runtime


def install_with_settings(app: Any, config: Path | None) -> None:
    """Load the settings and add the task. See ``paceline_adapters.celery.install``."""
    plugins = Plugins()
    loaded = load_settings(plugins, config=config).settings
    settings = loaded.model_copy(update={"executor": NAME})
    # Shared limits and events need Redis, whatever broker the app uses.
    broker_url(settings.redis)
    section = f"executors.{NAME}"
    options = plugins.executor(NAME).check(options_for(settings.executors, NAME), section)
    if not isinstance(options, CeleryOptions):
        raise TypeError(f"{section} has the options of another executor")
    add_task(app, options)
    connect(Context(settings=settings, plugins=plugins), options)
    runtime.installed_app = app
