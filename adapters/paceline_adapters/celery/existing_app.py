"""Adds roadmap generation to a Celery app that exists already."""

from pathlib import Path
from typing import Any

from paceline import App

from paceline_adapters.celery.app import add_task
from paceline_adapters.celery.broker_url import broker_url
from paceline_adapters.celery.hooks import connect
from paceline_adapters.celery.host_app import check_while_imported
from paceline_adapters.celery.options import NAME, CeleryOptions
from paceline_adapters.celery.runtime import runtime


def install_with_settings(app: Any, config: Path | None) -> None:
    """Load the settings and add the task. See ``paceline_adapters.celery.install``."""
    paceline_app = App.load(config, {"executor": NAME})
    settings = paceline_app.settings
    # Shared limits and events need Redis, whatever broker the app uses.
    broker_url(settings.redis)
    options = CeleryOptions.model_validate(settings.executors.get(NAME, {}))
    check_while_imported(app, options.queue)
    add_task(app, options)
    connect(paceline_app.factory.context(), options)
    runtime.installed_app = app
