"""`paceline plugins`."""

from pathlib import Path

import pytest

from tests.support.cli_terminal import Terminal, a_roadmap

PLUGIN = '''
from typing import Literal
from pydantic import Field, SecretStr
from paceline import Options, Permit, Strategy, hookimpl


class Choices(Options):
    calls: int = Field(default=3, ge=1, lt=100)
    """Calls at once, of
    all roadmaps."""
    mood: Literal["calm", "hasty"] = "calm"
    token: SecretStr | None = SecretStr("hidden-password")
    rate: float | None = None
    names: list[str] = Field(default_factory=lambda: ["a"], max_length=3)
    place: str


class Moody(Strategy):
    async def admit(self, work):
        return Permit()


@hookimpl
def paceline_register_strategies(register):
    register("moody", lambda o, c: Moody(), options=Choices, summary="By mood\\x1b[31m.")
'''


def install(paceline: Terminal, name: str, text: str) -> None:
    """Install a package with an entry point, as pip does."""
    packages = paceline.folder / "packages"
    info = packages / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[paceline]\n{name} = {name}_plugin\n")
    (packages / f"{name}_plugin.py").write_text(text)
    paceline.monkeypatch.syspath_prepend(packages)


def test_every_kind_of_plugin_is_listed_with_its_origin(paceline: Terminal) -> None:
    rows = paceline("plugins", "--json").json["plugins"]
    found = {(row["kind"], row["name"]): row for row in rows}
    for place in (
        ("strategy", "per-roadmap"),
        ("executor", "celery"),
        ("store", "postgresql"),
        ("provider", "openai"),
        ("event-bus", "redis"),
        ("ledger", "memory"),
        ("step", "quiz"),
        ("command", "bench"),
    ):
        assert found[place]["summary"]
        assert found[place]["plugin"].startswith("paceline")
    listed = paceline("plugins").out
    assert "per-roadmap" in listed
    assert all(len(line.split("  ")) >= 3 for line in listed.splitlines()), "one line each"


def test_a_third_party_plugin_is_listed_beside_the_built_ins(paceline: Terminal) -> None:
    install(paceline, "stranger", PLUGIN)
    [row] = [row for row in paceline("plugins", "--json").json["plugins"] if row["name"] == "moody"]
    assert row["plugin"] == "stranger"
    assert "moody" in paceline("plugins").out


def test_show_prints_type_default_bounds_and_meaning(paceline: Terminal) -> None:
    install(paceline, "teller", PLUGIN)
    [described] = paceline("plugins", "show", "moody", "--json").json["plugins"]
    assert described["section"] == "strategies.moody"
    options = {one.pop("name"): one for one in described["options"]}
    assert options["calls"] == {
        "type": "integer",
        "default": 3,
        "required": False,
        "bounds": "≥ 1, < 100",
        "description": "Calls at once, of all roadmaps.",
    }
    assert options["mood"]["bounds"] == "one of calm, hasty"
    assert (options["token"]["type"], options["token"]["default"]) == ("secret", "********")
    assert (options["rate"]["type"], options["rate"]["default"]) == ("number", None)
    assert options["names"]["default"] == ["a"]
    assert options["place"]["required"]
    said = paceline("plugins", "show", "moody").out
    assert "[strategies.moody]" in said
    assert "(required)" in said


@pytest.mark.parametrize("name", ["unbounded", "per-roadmap", "global", "adaptive"])
def test_strategies_come_with_advice(paceline: Terminal, name: str) -> None:
    assert "\nadvice: " in paceline("plugins", "show", name).out
    assert paceline("plugins", "show", name, "--json").json["plugins"][0]["advice"]


def test_a_name_of_several_kinds_shows_all_of_them(paceline: Terminal) -> None:
    shown = paceline("plugins", "show", "memory", "--json").json["plugins"]
    assert [one["kind"] for one in shown] == ["store", "event-bus", "ledger"]


def test_an_unknown_name_is_reported_with_the_nearest(paceline: Terminal) -> None:
    assert "did you mean 'per-roadmap'?" in paceline("plugins", "show", "per_roadmpa", code=2).err


def test_a_broken_plugin_is_listed_with_its_reason_and_the_others_work(paceline: Terminal) -> None:
    install(paceline, "broken", "import a_module_that_is_not_there")
    said = paceline("plugins", "--json").json
    [fault] = said["broken"]
    assert fault["name"] == "broken"
    assert "a_module_that_is_not_there" in fault["reason"]
    assert "a_module_that_is_not_there" in paceline("plugins").out
    assert "broken" in paceline("doctor", code=1).out
    paceline.setenv(PACELINE_PLUGINS="none")
    assert paceline("plugins", "--json").json["broken"] == []


def test_plugins_are_listed_even_if_the_settings_are_wrong(paceline: Terminal) -> None:
    Path("paceline.toml").write_text("no_such_setting = 1")
    assert "per-roadmap" in paceline("plugins").out


FAILING = """
from paceline import NoOptions, hookimpl


def make(options, context):
    key = context.settings.provider.api_key.get_secret_value()
    raise ValueError(f"the service with {key}\\nis not there\\x1b[31m")


@hookimpl
def paceline_register_strategies(register):
    register("failing", make, options=NoOptions, summary="Fails.")
"""


def test_a_factory_that_fails_gives_one_line_with_plugin_and_part(paceline: Terminal) -> None:
    install(paceline, "tripping", FAILING)
    Path("roadmap.json").write_text(a_roadmap("r", "c").model_dump_json())
    said = paceline("run", "roadmap.json", "--strategy", "failing", code=2)
    assert said.err.splitlines()[-1] == (
        "paceline: error: plugin tripping: the factory of strategy 'failing' failed: "
        "ValueError: the service with ********"
    )
    detailed = paceline("--verbose", "run", "roadmap.json", "--strategy", "failing", code=2).err
    assert "Traceback" in detailed
    assert "in make" in detailed
    assert "plugin tripping: the factory" in detailed.splitlines()[-1]
