"""`paceline config schema`: what editors know of `paceline.toml`."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import paceline.cli
import pytest
from paceline import SettingsError, hookimpl
from paceline.contracts.options import Options
from paceline.contracts.steps.step import Step
from paceline.plugins.hookspecs import Register
from paceline.plugins.registry import Plugins
from paceline.settings.json_schema import settings_schema
from paceline.settings.load import load_settings

from tests.support.cli_terminal import Terminal

ROOT = Path(__file__).parents[2]
TEMPLATE = Path(paceline.cli.__file__).with_name("templates") / "paceline.toml"
#: Settings files of the repository.
FILES = [
    TEMPLATE,
    ROOT / "deploy" / "compose" / "paceline.toml",
]


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft7Validator:
    """The schema as an editor uses it."""
    schema = settings_schema(Plugins())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def faults(checker: jsonschema.Draft7Validator, text: str) -> list[str]:
    """What an editor marks in a file."""
    return [error.json_path for error in checker.iter_errors(tomllib.loads(text))]


def refused(text: str, folder: Path) -> bool:
    """Whether paceline itself refuses a file."""
    file = folder / "paceline.toml"
    file.write_text(text)
    try:
        load_settings(Plugins(), config=file, environ={"KEY": "any"})
    except SettingsError:
        return True
    return False


def test_the_command_prints_the_schema(paceline: Terminal) -> None:
    printed = json.loads(paceline("config", "schema").out)
    assert printed == json.loads(json.dumps(settings_schema(Plugins())))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_it_accepts_the_settings_files_of_the_repository(
    file: Path, checker: jsonschema.Draft7Validator
) -> None:
    assert faults(checker, file.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        'strategy = "per-roadmap,global"',
        "strategies.per_roadmap.limit = 3\nexecutors.in_process.concurrency = 2",
        'store.url = "postgresql://me@host/db"\nredis.url = "redis://localhost"',
        'retention.ended_runs = "90d"',
        "retention.ended_runs = 86400",
        'resources.search = {concurrency = 2, keys = ["KEY"]}',
        'resources.search = {concurrency = 2, keys = {one = "secret"}}',
        'models.strong = {model = "gpt-4o"}\nsteps.quiz.model = "main,strong"',
        'run.steps = ["tutorial", "mine"]\nsteps.mine = {use = "quiz", temperature = 0.1}',
        'sinks.files.url = "out"\nsinks.second = {use = "files", url = "out"}',
        'web.tokens = [{token = "0123456789abcdef", scope = "read"}]',
        'strategy = ["budget"]\nstrategies.budget.keys = {"openai:gpt" = {per_month = 4}}',
    ],
)
def test_it_accepts_what_paceline_accepts(
    text: str, checker: jsonschema.Draft7Validator, tmp_path: Path
) -> None:
    assert not refused(text, tmp_path)
    assert faults(checker, text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("store.pool_size = 0", "$.store.pool_size"),
        ('store.budget = "maybe"', "$.store.budget"),
        ("store.pool = 5", "$.store"),
        ("nonsense = 5", "$"),
        ('executor = "cron"', "$.executor"),
        ('strategy = ["fast"]', "$.strategy"),
        ("strategies.per-roadmap.limit = 0", "$.strategies['per-roadmap'].limit"),
        ("strategies.per-roadmap.limits = 5", "$.strategies['per-roadmap']"),
        ("strategies.fast.limit = 5", "$.strategies"),
        ('provider.name = "none"', "$.provider.name"),
        ("models.strong.modle = 1", "$.models.strong"),
        ("steps.quiz.temprature = 1", "$.steps.quiz"),
        ("steps.mine.temperature = 1", "$.steps.mine"),
        ('sinks.files = {url = "out", colour = 1}', "$.sinks.files"),
        ('prompts.none = "file.md"', "$.prompts"),
        ('web.tokens = [{token = "0123456789abcdef", scope = "all"}]', "$.web.tokens[0].scope"),
    ],
)
def test_it_refuses_what_paceline_refuses(
    text: str, place: str, checker: jsonschema.Draft7Validator, tmp_path: Path
) -> None:
    assert refused(text, tmp_path)
    assert faults(checker, text) == [place]


def test_it_has_the_options_of_an_installed_plugin_and_no_secret_default() -> None:
    class Mine(Options):
        """Options."""

        colour: str = "red"
        """The colour."""

    class Plugin:
        @hookimpl
        def paceline_register_steps(self, register: Register[Step]) -> None:
            register("mine", lambda _o, _c: pytest.fail("made"), options=Mine, summary="Mine.")

    plugins = Plugins()
    plugins.register(Plugin(), "mine")
    schema = settings_schema(plugins)
    checker = jsonschema.Draft7Validator(schema)
    assert faults(checker, 'steps.mine.colour = "blue"') == []
    assert faults(checker, "steps.mine.colour = 5") == ["$.steps.mine"]
    mine: Any = schema["properties"]["steps"]["properties"]["mine"]
    assert mine["anyOf"][0]["properties"]["colour"]["description"] == "The colour."
    assert "***" not in json.dumps(schema)
    assert '"null"' not in json.dumps(schema)
