"""The ``paceline.toml`` of a cell."""

import json

from paceline.planning.stacks import Part
from paceline.planning.toml_text import toml_text

from paceline_adapters.bench.cells import SERVED
from paceline_adapters.bench.results import CellResults

#: Settings of the benchmark's own servers, which are left out.
_BENCHMARK_ONLY = ("store.url", "redis.url", "provider.")
_ADDRESSES = {
    "store": 'url = "postgresql+asyncpg://me@localhost/content"  # your database',
    "redis": 'url = "redis://localhost:6379/0"  # your Redis',
}


def snippet(cell: CellResults) -> str:
    """Settings that paceline can read; addresses are examples.

    Options were given as text in the benchmark. Numbers and booleans are written as such.
    """
    settings = {
        path: value for path, value in cell.settings.items() if not path.startswith(_BENCHMARK_ONLY)
    }
    names = settings.pop("strategy", cell.strategy).split(",")
    executor = settings.pop("executor", cell.executor)
    first: dict[str, str] = {}
    store = Part.parse(cell.store)
    if store.name not in SERVED:
        address = dict(store.options).get("url", f"{store.name}:")
        first["store"] = f"url = {json.dumps(address, ensure_ascii=False)}"
    elif store.name == "postgresql":
        first["store"] = _ADDRESSES["store"]
    if cell.redis:
        first["redis"] = _ADDRESSES["redis"]
    parts = {"strategy": [name.strip() for name in names], "executor": executor}
    return toml_text(parts | dict(sorted(settings.items())), first)
