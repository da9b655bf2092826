"""The ``paceline.toml`` of a cell."""

import json
import re

from paceline_adapters.bench.cells import SERVED, Part
from paceline_adapters.bench.report.preference import needs_redis
from paceline_adapters.bench.results import CellResults

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
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
    lines = [f"strategy = [{', '.join(_text(name.strip()) for name in names)}]"]
    lines.append(f"executor = {_text(executor)}")
    tables: dict[str, list[str]] = {}
    for path, value in sorted(settings.items()):
        table, key = _split(path)
        (tables.setdefault(table, []) if table else lines).append(f"{_key(key)} = {_value(value)}")
    store = Part.parse(cell.store)
    if store.name not in SERVED:
        address = dict(store.options).get("url", f"{store.name}:")
        tables.setdefault("store", []).insert(0, f"url = {_text(address)}")
    elif store.name == "postgresql":
        tables.setdefault("store", []).insert(0, _ADDRESSES["store"])
    if needs_redis(cell):
        tables.setdefault("redis", []).insert(0, _ADDRESSES["redis"])
    for table, entries in tables.items():
        lines += ["", f"[{table}]", *entries]
    return "\n".join(lines) + "\n"


def _split(path: str) -> tuple[str, str]:
    """``strategies.NAME.KEY`` as its table and key; a plugin's name may contain dots."""
    section, _, rest = path.partition(".")
    if not rest:
        return "", section
    name, _, key = rest.rpartition(".")
    return ".".join([_key(section), *([_key(name)] if name else [])]), key


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: str) -> str:
    return value if _NUMBER.fullmatch(value) or value in {"true", "false"} else _text(value)


def _text(value: str) -> str:
    # A JSON string is a TOML string, except for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
