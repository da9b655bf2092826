"""From cells to what can be run: plugins found, settings checked, limits known."""

import ast
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from paceline import SettingsError
from paceline.plugins.registry import Plugins
from paceline.runtime.parts import make_executor
from paceline.settings.load import Loaded, Value, load_settings, options_for

from paceline_adapters.bench.bound import known_limits
from paceline_adapters.bench.cells import Cell, Part, StoreName, matrix, parse_stack
from paceline_adapters.bench.measure import OURS, Contest
from paceline_adapters.bench.workload import Workload

STRATEGIES = ("unbounded", "per-roadmap", "global")
EXECUTORS = ("in-process", "celery", "arq")
#: Executors need one to be made; nothing is connected until a round begins.
_NOWHERE = "redis://127.0.0.1:1/0"


def prepare(cells: Iterable[Cell], workload: Workload, *, workers: int) -> list[Contest]:
    """Check every cell before anything is started.

    Raises:
        SettingsError: a plugin is unknown, or an option of it is wrong.
        PluginError: what it needs is not installed.
    """
    plugins = Plugins()
    return [_contest(cell, workload, plugins, workers=workers) for cell in cells]


def default_cells(
    strategies: Sequence[str], executors: Sequence[str], stores: Sequence[StoreName]
) -> list[Cell]:
    """The matrix; without a wish, SQLite only where one process works.

    Raises as ``prepare`` and ``Part.parse``.
    """
    strategies, executors = strategies or STRATEGIES, executors or EXECUTORS
    if stores:
        return matrix(strategies, executors, stores)
    plugins = Plugins()
    here = [text for text in executors if not _distributed(Part.parse(text), plugins)]
    return [
        *matrix(strategies, executors, ["postgresql"]),
        *matrix(strategies, here, ["sqlite"]),
    ]


def contestants(folder: Path, store: StoreName) -> list[tuple[Cell, Path]]:
    """The hand-written programs of a folder: its modules that can be run as a program.

    What one is to be compared with it says by constants: ``STRATEGY = "global:concurrency=64"``,
    ``EXECUTOR = "celery"``; by default it is an unbounded run in one process.

    Raises:
        SettingsError: there is none, or a module is no Python.
    """
    found: list[tuple[Cell, Path]] = []
    for path in sorted(folder.glob("*.py")):
        says = _constants(path)
        if says is not None:
            cell = Cell(
                strategy=parse_stack(says.get("STRATEGY", "unbounded")),
                executor=Part.parse(says.get("EXECUTOR", "in-process")),
                store=store,
                contestant=path.stem.replace("_", "-"),
            )
            found.append((cell, path.resolve()))
    if not found:
        raise SettingsError(f"--contestants {folder}: no module there can be run as a program")
    return found


def prepare_contestants(
    found: Iterable[tuple[Cell, Path]], workload: Workload, *, workers: int
) -> list[Contest]:
    """The same for hand-written programs. Raises as ``prepare``."""
    plugins = Plugins()
    contests: list[Contest] = []
    for cell, path in found:
        like = _contest(cell, workload, plugins, workers=workers)
        # A script of one process has no worker that takes so many roadmaps at once.
        limits = like.limits if like.redis else replace(like.limits, roadmaps=None)
        root, name = _importable(path)
        contests.append(
            replace(
                like,
                command=[sys.executable, "-m", name],
                import_from=root,
                redis=True,
                limits=limits,
            )
        )
    return contests


def _importable(path: Path) -> tuple[Path, str]:
    """The folder to import a file from, and its name as a module."""
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").exists():
        names.insert(0, root.name)
        root = root.parent
    return root, ".".join(names)


def _contest(cell: Cell, workload: Workload, plugins: Plugins, *, workers: int) -> Contest:
    loaded = _settings(cell.settings(), plugins)
    settings = loaded.settings
    executor = make_executor(settings, plugins)
    count = workers if executor.distributed else 1
    strategies = {
        name: plugins.strategy(name).check(
            options_for(settings.strategies, name), f"strategies.{name}"
        )
        for name in settings.strategy
    }
    return Contest(
        cell=cell,
        command=OURS,
        settings=cell.settings(),
        redis=executor.distributed,
        workers=count,
        limits=known_limits(
            strategies,
            roadmaps=executor.concurrency * count,
            requests=workload.rpm,
            tokens=workload.tpm,
            window=workload.window,
            concurrency=workload.concurrency,
        ),
    )


def _distributed(part: Part, plugins: Plugins) -> bool:
    loaded = _settings({"executor": part.name}, plugins)
    return make_executor(loaded.settings, plugins).distributed


def _settings(given: Mapping[str, str], plugins: Plugins) -> Loaded:
    flags = [Value(tuple(key.split(".")), value, "the cell") for key, value in given.items()]
    flags.append(Value(("redis", "url"), _NOWHERE, "the benchmark"))
    # The settings of the folder we are called in are not the cell's.
    return load_settings(plugins, config=Path(os.devnull), flags=flags, environ={})


def _constants(path: Path) -> dict[str, str] | None:
    """A program's texts in capitals; ``None`` where the module is no program."""
    try:
        body = ast.parse(path.read_text(), str(path)).body
    except (OSError, SyntaxError, ValueError) as error:
        raise SettingsError(f"--contestants: {path} cannot be read: {error}") from None
    found: dict[str, str] = {}
    program = False
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            found.update(dict.fromkeys(names, str(node.value.value)))
        program = program or (isinstance(node, ast.If) and "__main__" in ast.unparse(node.test))
    return found if program else None
