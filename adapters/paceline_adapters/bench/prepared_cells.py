"""From cells to what can run: plugins are found, settings checked and limits derived."""

import ast
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from paceline import App, SettingsError
from paceline.planning.stacks import Part, parse_stack

from paceline_adapters.bench.bounds import known_limits
from paceline_adapters.bench.cells import ONE_PROCESS, SERVED, Cell, matrix
from paceline_adapters.bench.measure import HOST, PreparedCell
from paceline_adapters.bench.workload import Workload

STRATEGIES = ("unbounded", "per-roadmap", "global")
EXECUTORS = ("in-process", "celery", "arq")
#: Distributed executors require an address; nothing connects before a round starts.
_UNUSED_REDIS = "redis://127.0.0.1:1/0"


def prepare(cells: Iterable[Cell], workload: Workload, *, workers: int) -> list[PreparedCell]:
    """Check every cell before anything is started.

    Raises:
        SettingsError: a plugin is unknown, or one of its options is wrong.
        PluginError: a package that the plugin needs is not installed.
    """
    base = App()
    return [_prepare(cell, workload, base, workers=workers) for cell in cells]


def default_cells(
    strategies: Sequence[str], executors: Sequence[str], stores: Sequence[str]
) -> list[Cell]:
    """The matrix; without ``stores``, SQLite is combined with in-process executors only.

    Without ``executors``, the same holds for a store in the memory of one process.

    Raises as ``prepare`` and ``Part.parse``.
    """
    base = App()
    given, strategies, executors = executors, strategies or STRATEGIES, executors or EXECUTORS
    if stores:
        return [
            cell
            for cell in matrix(strategies, executors, stores)
            if given or cell.store.name != ONE_PROCESS or not _distributed(cell.executor, base)
        ]
    in_process = [text for text in executors if not _distributed(Part.parse(text), base)]
    return [
        *matrix(strategies, executors, ["postgresql"]),
        *matrix(strategies, in_process, ["sqlite"]),
    ]


def find_contestants(folder: Path, store: Part) -> list[tuple[Cell, Path]]:
    """The hand-written programs of a folder: all its modules that can run as a program.

    Constants of the module name the cell that it is compared with:
    ``STRATEGY = "global:concurrency=64"``, ``EXECUTOR = "celery"``. The default is ``unbounded``
    in one process.

    Raises:
        SettingsError: the folder has no such module, or a module cannot be parsed.
    """
    found: list[tuple[Cell, Path]] = []
    for path in sorted(folder.glob("*.py")):
        constants = _constants(path)
        if constants is not None:
            cell = Cell(
                strategy=parse_stack(constants.get("STRATEGY", "unbounded")),
                executor=Part.parse(constants.get("EXECUTOR", "in-process")),
                store=store,
                contestant=path.stem.replace("_", "-"),
            )
            found.append((cell, path.resolve()))
    if not found:
        raise SettingsError(f"--contestants {folder}: no module there can run as a program")
    return found


def prepare_contestants(
    found: Iterable[tuple[Cell, Path]], workload: Workload, *, workers: int
) -> list[PreparedCell]:
    """Check hand-written programs. Raises as ``prepare``."""
    base = App()
    prepared: list[PreparedCell] = []
    for cell, path in found:
        similar = _prepare(cell, workload, base, workers=workers)
        # A single-process script has no worker that limits the number of roadmaps at once.
        limits = similar.limits if similar.redis else replace(similar.limits, roadmaps=None)
        root, name = _importable(path)
        prepared.append(
            replace(
                similar,
                command=[sys.executable, "-m", name],
                import_from=root,
                redis=True,
                limits=limits,
            )
        )
    return prepared


def _importable(path: Path) -> tuple[Path, str]:
    """The folder to import a file from, and its module name."""
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").exists():
        names.insert(0, root.name)
        root = root.parent
    return root, ".".join(names)


def _prepare(cell: Cell, workload: Workload, base: App, *, workers: int) -> PreparedCell:
    _check_store(cell.store, base)
    app = _load({"store.url": cell.store_url, **cell.settings()}, base)
    executor = app.factory.executor()
    if cell.store.name == ONE_PROCESS and executor.distributed:
        raise SettingsError(
            f"store {ONE_PROCESS} must be measured with an executor that works in one process, "
            f"because the workers of {cell.executor.name} cannot see its runs"
        )
    count = workers if executor.distributed else 1
    strategies = {
        name: app.plugins.strategy(name).check(
            app.settings.strategies.get(name.replace("_", "-"), {}), f"strategies.{name}"
        )
        for name in app.settings.strategy
    }
    return PreparedCell(
        cell=cell,
        command=HOST,
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
        app=_load({**cell.settings(), "executor": "in-process"}, base, redis=False),
        processes=executor.processes * count,
    )


def _check_store(store: Part, base: App) -> None:
    options = {key: value for key, value in store.options if key != "url"}
    base.plugins.store(store.name).check(options, f"stores.{store.name}")
    if store.name in SERVED and store.options:
        raise SettingsError(
            f"store {store.name} must be given without options, because each round gets an empty "
            f"database of the benchmark, got {store}"
        )


def _distributed(part: Part, base: App) -> bool:
    return _load({"executor": part.name}, base).factory.executor().distributed


def _load(settings: Mapping[str, str], base: App, *, redis: bool = True) -> App:
    """Load the settings of a cell, without those of the working directory."""
    overrides = {**settings, "redis.url": _UNUSED_REDIS} if redis else settings
    return App.load(os.devnull, overrides, environ={}, plugins=base.plugins)


def _constants(path: Path) -> dict[str, str] | None:
    """The constants of a module; ``None`` if it cannot run as a program."""
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
