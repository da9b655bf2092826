"""Where settings come from: flags over environment over file over defaults."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ValidationError

from paceline.errors import SettingsError
from paceline.plugins.built_ins import Kind
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.text import nearest
from paceline.validation import describe_fault

PREFIX = "PACELINE_"
#: Environment variables of ours that are no settings.
NOT_SETTINGS = frozenset({"PACELINE_PLUGINS", "PACELINE_CONFIG", "PACELINE_TOKEN"})
#: Variables that users of the OpenAI client and of OpenTelemetry have set anyway.
_OTHERS = {
    "OPENAI_API_KEY": ("provider", "api_key"),
    "OPENAI_BASE_URL": ("provider", "base_url"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("otel", "endpoint"),
}
#: Sections whose next key is a plugin's name.
_BY_PLUGIN = ("strategies", "executors", "providers")
#: A value given as text that begins so is TOML: a list, a table, a string.
TOML_BEGINS = ("[", "{", '"')
_MAX_FILE = 2**20

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """One value as it was given.

    Attributes:
        path: the keys that lead to it.
        value: what was given.
        origin: where, in words: a file, a variable, a flag.
    """

    path: Path_
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The effective settings.

    Attributes:
        settings: their values.
        origins: where each given value came from, by dotted key; defaults are not in it.
        given: every value that was set, weakest first.
        config: the settings file that was named, if one was.
    """

    settings: Settings
    origins: Mapping[str, str]
    given: Sequence[Value]
    config: Path | None = None


def load_settings(
    plugins: Plugins,
    *,
    config: Path | None = None,
    flags: Sequence[Value] = (),
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Read, merge and check the settings.

    Args:
        plugins: those whose options may be set.
        config: the file, instead of ``paceline.toml`` or ``pyproject.toml`` of the folder.
        flags: values from the command line, weakest first.
        environ: instead of the process's environment.

    Raises:
        SettingsError: a key or value is wrong: its place, and what is allowed.
    """
    environ = os.environ if environ is None else environ
    if config is None and environ.get("PACELINE_CONFIG"):
        config = Path(environ["PACELINE_CONFIG"])
    others = [
        Value(path, environ[name], f"environment {name}")
        for name, path in _OTHERS.items()
        if environ.get(name)
    ]
    near = [leaf for value in (*_from_environment(environ), *flags) for leaf in _flat(value)]
    given = [*others, *_from_file(config), *near]
    given = [Value(_folded(value.path), value.value, value.origin) for value in given]
    loaded = replace(_validated(given), config=config)
    _check_sections(loaded, plugins)
    return loaded


def parse_assignment(text: str) -> Value:
    """``store.pool_size=5`` of ``--set`` as a value.

    Raises:
        SettingsError: it is no assignment.
    """
    key, equals, raw = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise SettingsError(f"--set {text!r}: write it as key=value, as in store.pool_size=5")
    return _read(path, raw, f"--set {key}")


def _read(path: Path_, raw: str, origin: str) -> Value:
    """A value that came as text: TOML where it begins as a list, a table or a string does."""
    if raw[:1] not in TOML_BEGINS:
        return Value(path, raw, origin)
    try:
        return Value(path, tomllib.loads(f"value = {raw}")["value"], origin)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if _is_secret(path):  # a password may begin with anything
            return Value(path, raw, origin)
        if isinstance(error, RecursionError):
            raise SettingsError(f"{origin}: nested too deeply") from None
        raise SettingsError(f"{origin}: {raw!r} is no TOML value: {error}") from None


def options_for(sections: Mapping[str, Mapping[str, object]], name: str) -> Mapping[str, object]:
    """A plugin's section; ``-`` and ``_`` in its name are one."""
    return sections.get(name.replace("_", "-"), {})


def _folded(path: Path_) -> Path_:
    if len(path) > 1 and path[0] in _BY_PLUGIN:
        return (path[0], path[1].replace("_", "-"), *path[2:])
    return path


def _from_file(config: Path | None) -> Iterator[Value]:
    if config is not None:
        data = _read_toml(config, must_exist=True)
        table = data if config.name != "pyproject.toml" else _tool_table(config, data)
        yield from _leaves(table, (), str(config))
        return
    own, shared = Path("paceline.toml"), Path("pyproject.toml")
    if own.is_file():
        yield from _leaves(_read_toml(own), (), str(own))
    elif shared.is_file():
        yield from _leaves(_tool_table(shared, _read_toml(shared)), (), f"{shared} [tool.paceline]")


def _read_toml(path: Path, *, must_exist: bool = False) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE + 1)
        if len(raw) > _MAX_FILE:
            raise SettingsError(f"{path}: larger than 1 MiB, the most allowed")
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
        raise SettingsError(f"{path}: tool.paceline must be a table, not {table!r}")
    return _table(cast("object", table))


def _table(value: object) -> Mapping[str, object]:
    """The value itself if it is a table, else an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _leaves(table: Mapping[str, object], path: Path_, origin: str) -> Iterator[Value]:
    for key, value in table.items():
        inner = _table(value)
        yield from _leaves(inner, (*path, key), origin)
        if not inner:  # an empty table too: its name may be wrong
            yield Value((*path, key), value, origin)


def _flat(value: Value) -> Iterator[Value]:
    """A table as the values in it, so that one more adds to it."""
    return _leaves({value.path[-1]: value.value}, value.path[:-1], value.origin)


def _from_environment(environ: Mapping[str, str]) -> Iterator[Value]:
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            path = tuple(name.removeprefix(PREFIX).lower().split("__"))
            yield _read(path, value, f"environment {name}")


def _validated(given: Sequence[Value]) -> Loaded:
    tree: dict[str, object] = {}
    origins: dict[str, str] = {}
    for item in given:
        _put(tree, item.path, item.value)
        origins[".".join(item.path)] = item.origin
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
        tree.setdefault(path[-1], dict[str, object]())  # an empty table takes nothing away
    else:
        tree[path[-1]] = value


def _given_path(location: Sequence[int | str]) -> Path_:
    return tuple(str(part) for part in location if isinstance(part, str)) or ("settings",)


def _hint(place: Path_) -> str:
    """The nearest key of the section; else the one that has this name in another section."""
    known = _known_keys(place[:-1])
    name = place[-1]
    if not get_close_matches(name, known, 1):
        for section in Settings.model_fields:
            for key in _known_keys((section,)):
                if name in (key, f"{section}_{key}", f"{section}-{key}"):
                    return f": did you mean {f'{section}.{key}'!r}?"
    return nearest(name, known)


def _is_secret(path: Path_) -> bool:
    return path[-1] in {"url", "api_key", "base_url", "token", "tokens"}


def _known_keys(path: Path_) -> list[str]:
    model: type[BaseModel] = Settings
    for key in path:
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _origin(path: Path_, origins: Mapping[str, str]) -> str:
    key = ".".join(path)
    for known, origin in origins.items():
        if known == key or known.startswith(f"{key}.") or key.startswith(f"{known}."):
            return origin
    return "the settings"


def _check_sections(loaded: Loaded, plugins: Plugins) -> None:
    """Options are checked whether or not the settings choose the plugin: a typo is a typo."""
    settings = loaded.settings
    sections: tuple[tuple[str, Kind, Mapping[str, Mapping[str, object]]], ...] = (
        ("strategies", "strategy", settings.strategies),
        ("executors", "executor", settings.executors),
        ("providers", "provider", settings.providers),
    )
    for section, kind, by_name in sections:
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
    """Every part that the settings name is known; a wrong name is told with its place."""
    settings = loaded.settings
    if ":" not in settings.store.url.get_secret_value():
        # Not named: it may be a password that came into the wrong place.
        origin = _origin(("store", "url"), loaded.origins)
        raise SettingsError(f"store.url: not a database URL, as sqlite:///FILE — in {origin}")
    named: list[tuple[Path_, Kind, Sequence[str]]] = [
        (("strategy",), "strategy", settings.strategy),
        (("executor",), "executor", [settings.executor]),
        (("store", "url"), "store", [settings.store_kind]),
        (("provider", "name"), "provider", [settings.provider.name]),
        (("events", "bus"), "event-bus", [settings.bus_kind]),
        (("run", "steps"), "step", settings.run.steps),
    ]
    for path, kind, names in named:
        for name in names:
            try:
                plugins.offer(kind, name)
            except SettingsError as error:
                origin = _origin(path, loaded.origins)
                raise SettingsError(f"{'.'.join(path)}: {error} — in {origin}") from None
    for name in settings.prompts:
        if name not in plugins.names("step"):
            hint = nearest(name, plugins.names("step"))
            told = _origin(("prompts", name), loaded.origins)
            raise SettingsError(f"prompts.{name}: unknown step{hint} — in {told}")
