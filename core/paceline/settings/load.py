"""Loads settings: command line before environment before file before defaults."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from paceline.errors import SettingsError
from paceline.plugins.built_ins import Kind
from paceline.plugins.registry import Plugins
from paceline.settings import environment
from paceline.settings.model import Settings
from paceline.settings.paths import join_key, split_key, within
from paceline.settings.sinks import check_sinks
from paceline.settings.steps import check_steps
from paceline.text import nearest
from paceline.validation import describe_fault, known_keys

#: Sections in which the next key is a plugin's name, and the kind of its plugins.
BY_PLUGIN: Mapping[str, Kind] = {
    "strategies": "strategy",
    "executors": "executor",
    "providers": "provider",
    "checks": "check",
    "stores": "store",
    "event_buses": "event-bus",
    "ledgers": "ledger",
    "exporters": "exporter",
    "telemetries": "telemetry",
}
#: Sections in which the next key is a name, in which ``-`` and ``_`` are equal.
BY_NAME = frozenset({*BY_PLUGIN, "models", "steps", "resources", "sinks"})
#: Text that begins with one of these is read as TOML: a list, a table or a string.
TOML_BEGINS = ("[", "{", '"')
_MAX_FILE = 2**20

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """One value that was set, the keys that lead to it, and the file, variable or option."""

    path: Path_
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings.

    Attributes:
        settings: their values.
        origins: where each value was set, by dotted key, without defaults.
        given: all values that were set; later ones override earlier ones.
        config: the settings file that was named, if any.
        ignored: one line for each variable of another program that was ignored.
    """

    settings: Settings
    origins: Mapping[str, str]
    given: Sequence[Value]
    config: Path | None = None
    ignored: Sequence[str] = ()


def load_settings(
    plugins: Plugins,
    *,
    config: Path | None = None,
    flags: Sequence[Value] = (),
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Read, merge and check the settings.

    Args:
        plugins: the plugins, for their options.
        config: settings file, instead of ``paceline.toml`` or ``pyproject.toml`` of the working
            directory.
        flags: values from the command line; later ones override earlier ones.
        environ: environment variables, instead of those of the process.

    Raises:
        SettingsError: a key or value is wrong; the text names its place and what is allowed.
    """
    environ = os.environ if environ is None else environ
    if config is None and environ.get("PACELINE_CONFIG"):
        config = Path(environ["PACELINE_CONFIG"])
    usable, ignored = environment.foreign(environ)
    foreign = [
        Value(environment.FOREIGN[name], value, f"environment {name}")
        for name, value in usable.items()
    ]
    overrides = [leaf for value in (*_from_environment(environ), *flags) for leaf in _flat(value)]
    given = [*foreign, *_from_file(config), *overrides]
    given = [Value(folded(value.path), value.value, value.origin) for value in given]
    loaded = replace(_validated(given), config=config, ignored=ignored)
    _check_sections(loaded, plugins)
    return loaded


def parse_assignment(text: str) -> Value:
    """Read an argument of ``--set``, for example ``store.pool_size=5``.

    Raises:
        SettingsError: it is not an assignment.
    """
    found = split_key(text)
    if found is None or not found[1].startswith("="):
        raise SettingsError(f"--set must be KEY=VALUE, for example store.pool_size=5, got {text!r}")
    path, rest = found
    return _read(path, rest[1:], f"--set {text[: -len(rest)]}")


def _read(path: Path_, raw: str, origin: str) -> Value:
    """Read a value given as text; lists, tables and quoted strings are TOML."""
    if raw[:1] not in TOML_BEGINS:
        return Value(path, raw, origin)
    try:
        return Value(path, tomllib.loads(f"value = {raw}")["value"], origin)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # A password may begin with any character, and a prefix of keys with a brace.
        if _is_secret(path) or path[-1] == "prefix":
            return Value(path, raw, origin)
        if isinstance(error, RecursionError):
            raise SettingsError(f"{origin}: nested too deeply") from None
        raise SettingsError(f"{origin}: {raw!r} is not valid TOML: {error}") from None


def options_for(sections: Mapping[str, Mapping[str, object]], name: str) -> Mapping[str, object]:
    """The section of a plugin; ``-`` and ``_`` in its name are equal."""
    return sections.get(name.replace("_", "-"), {})


def folded(path: Path_) -> Path_:
    """The path with the names of plugins and tables as the settings spell them."""
    if path[0].replace("-", "_") in BY_PLUGIN:
        path = (path[0].replace("-", "_"), *path[1:])
    if len(path) > 1 and path[0] in BY_NAME:
        return (path[0], path[1].replace("_", "-"), *path[2:])
    return path


def _from_file(config: Path | None) -> Iterator[Value]:
    if config is not None:
        data = _read_toml(config, must_exist=True)
        table = data if config.name != "pyproject.toml" else _tool_table(config, data)
        for leaf in _leaves(table, (), str(config)):
            yield replace(leaf, value=within(config.parent, leaf.path, leaf.value))
        return
    own, shared = Path("paceline.toml"), Path("pyproject.toml")
    if _is_file(own):
        yield from _leaves(_read_toml(own), (), str(own))
    elif _is_file(shared):
        yield from _leaves(_tool_table(shared, _read_toml(shared)), (), f"{shared} [tool.paceline]")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read_toml(path: Path, *, must_exist: bool = False) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE + 1)
        if len(raw) > _MAX_FILE:
            raise SettingsError(f"{path}: the file must not be larger than 1 MiB")
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        if must_exist or path.exists():
            raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise SettingsError(f"{path}: nested too deeply") from None


def _tool_table(path: Path, data: Mapping[str, object]) -> Mapping[str, object]:
    table = _table(data.get("tool")).get("paceline", {})
    if not isinstance(table, Mapping):
        raise SettingsError(f"{path}: tool.paceline must be a table, got {table!r}")
    return _table(cast("object", table))


def _table(value: object) -> Mapping[str, object]:
    """The value itself if it is a table, else an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _leaves(table: Mapping[str, object], path: Path_, origin: str) -> Iterator[Value]:
    for key, value in table.items():
        inner = _table(value)
        yield from _leaves(inner, (*path, key), origin)
        if not inner:  # also an empty table, because its name may be wrong
            yield Value((*path, key), value, origin)


def _flat(value: Value) -> Iterator[Value]:
    """A table as separate values, so that it adds to other values of the same table."""
    return _leaves({value.path[-1]: value.value}, value.path[:-1], value.origin)


def _from_environment(environ: Mapping[str, str]) -> Iterator[Value]:
    for name, value in environment.variables(environ):
        path = tuple(name.removeprefix(environment.PREFIX).lower().split("__"))
        yield _read(path, value, f"environment {name}")


def _validated(given: Sequence[Value]) -> Loaded:
    tree: dict[str, object] = {}
    origins: dict[str, str] = {}
    for item in given:
        _put(tree, item.path, item.value)
        origins[join_key(item.path)] = item.origin
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        lines: list[str] = []
        for fault in error.errors():
            place = _given_path(fault["loc"])
            line = describe_fault(fault, secret=_is_secret(place))
            hint = _hint(place) if fault["type"] == "extra_forbidden" else ""
            lines.append(f"{line}{hint} — in {_origin(place, origins)}")
        raise SettingsError("; ".join(lines)) from None
    return Loaded(settings, origins, given)


def _put(tree: dict[str, object], path: Path_, value: object) -> None:
    for key in path[:-1]:
        inner = tree.get(key)
        if not isinstance(inner, dict):
            inner = tree[key] = dict[str, object]()
        tree = cast("dict[str, object]", inner)
    if isinstance(value, Mapping):
        tree.setdefault(path[-1], dict[str, object]())  # an empty table keeps earlier values
    else:
        tree[path[-1]] = value


def _given_path(location: Sequence[int | str]) -> Path_:
    return tuple(str(part) for part in location if isinstance(part, str)) or ("settings",)


def _hint(place: Path_) -> str:
    """Suggest the nearest key of the section, or the same key of another section."""
    known = known_keys(Settings, place[:-1])
    name = place[-1]
    if not get_close_matches(name, known, 1):
        for section in Settings.model_fields:
            for key in known_keys(Settings, (section,)):
                if name in (key, f"{section}_{key}", f"{section}-{key}"):
                    return f": did you mean {f'{section}.{key}'!r}?"
    return nearest(name, known)


def _is_secret(path: Path_) -> bool:
    if path[0] == "resources" and "keys" in path:
        return True
    if path[0] == "sinks" and path[-1] in {"secret", "secrets"}:
        return True
    return path[-1] in {"url", "api_key", "base_url", "token", "tokens"}


def _origin(path: Path_, origins: Mapping[str, str]) -> str:
    key = join_key(path)
    for known, origin in origins.items():
        if known == key or known.startswith(f"{key}.") or key.startswith(f"{known}."):
            return origin
    return "the settings"


def _check_sections(loaded: Loaded, plugins: Plugins) -> None:
    """Check the options of all plugins, also of those that the settings do not choose."""
    settings = loaded.settings
    for section, kind in BY_PLUGIN.items():
        by_name: Mapping[str, Mapping[str, object]] = getattr(settings, section)
        for name, raw in by_name.items():
            known = plugins.names(kind)
            match = next((other for other in known if other.replace("_", "-") == name), None)
            place = f"{section}.{name}"

            def origin(path: Sequence[str], at: Path_ = (section, name)) -> str:
                return f" — in {_origin((*at, *path), loaded.origins)}"

            if match is None:
                raise SettingsError(f"{place}: unknown {kind}{nearest(name, known)}{origin(())}")
            plugins.offer(kind, match).check(raw, place, origin)
    _check_names(loaded, plugins)


def _check_names(loaded: Loaded, plugins: Plugins) -> None:
    """Check that every part that the settings name exists."""
    settings = loaded.settings
    if ":" not in settings.store.url.get_secret_value():
        # The error does not show the value, because it may be a misplaced password.
        origin = _origin(("store", "url"), loaded.origins)
        raise SettingsError(
            f"store.url must be a database URL, for example sqlite:///FILE — in {origin}"
        )
    named: list[tuple[Path_, Kind, Sequence[str]]] = [
        (("strategy",), "strategy", settings.strategy),
        (("executor",), "executor", [settings.executor]),
        (("store", "url"), "store", [settings.store_kind]),
        (("provider", "name"), "provider", [settings.provider.name]),
        (("events", "bus"), "event-bus", [settings.bus_kind]),
    ]
    if settings.telemetry_kind is not None:
        named.append((("telemetry",), "telemetry", [settings.telemetry_kind]))
    for name, model in settings.models.items():
        if model.provider is not None:
            named.append((("models", name, "provider"), "provider", [model.provider]))
    for name, step in settings.steps.items():
        named.append((("steps", name, "checks"), "check", step.checks))
    for path, kind, names in named:
        for name in names:
            try:
                plugins.check_exists(kind, name)
            except SettingsError as error:
                origin = _origin(path, loaded.origins)
                raise SettingsError(f"{'.'.join(path)}: {error} — in {origin}") from None
    check_steps(settings, plugins, lambda path: _origin(path, loaded.origins))
    check_sinks(settings, plugins, lambda path: _origin(path, loaded.origins))
    for name in settings.prompts:
        if name not in plugins.names("step"):
            hint = nearest(name, plugins.names("step"))
            origin = _origin(("prompts", name), loaded.origins)
            raise SettingsError(f"prompts.{name}: unknown step{hint} — in {origin}")
