"""A worker process of an executor under test: ``python -m paceline.testing.held_worker FILE``."""

import importlib
import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from paceline.app import App
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing import held


def plugins_with(modules: Iterable[str]) -> Plugins:
    """The installed plugins, the held parts, and the given modules with hooks."""
    plugins = Plugins()
    plugins.register(held, held.__name__)
    for module in modules:
        plugins.register(importlib.import_module(module), module)
    return plugins


def main(file: Path) -> int:
    """Serve with the settings, modules and concurrency of a file; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    options = json.loads(file.read_text())
    settings = Settings.model_validate(options["settings"])
    return App(settings, plugins=plugins_with(options["modules"])).serve(
        concurrency=options["concurrency"]
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
