"""`paceline init` and `paceline config`."""

import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import paceline.cli
import pytest
from paceline.plugins.built_ins import Kind
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import load_roadmap
from paceline.settings.load import load_settings

from tests.support.cli_terminal import Terminal

TEMPLATE = Path(paceline.cli.__file__).with_name("templates") / "paceline.toml"


def test_init_writes_valid_settings_and_prints_the_next_steps(paceline: Terminal) -> None:
    said = paceline("init", "new/folder")
    assert "paceline run roadmap.json" in said.out
    assert "cd new/folder" in said.out
    assert load_roadmap(paceline.folder / "new/folder/roadmap.json").concept_count() == 3
    config = str(paceline.folder / "new/folder/paceline.toml")
    shown = paceline("config", "show", "--config", config, "--json").json["settings"]
    assert {one["origin"] for one in shown if one["key"] == "strategy"} == {config}


def test_every_commented_setting_of_the_template_is_valid(
    paceline: Terminal,
) -> None:
    """A misspelled commented setting would fail as soon as a user enables it."""
    lines = TEMPLATE.read_text().splitlines()
    settings = re.compile(r"# (\w+ = .+)")
    uncommented = [
        settings.sub(r"\1", line) if settings.fullmatch(line) else line for line in lines
    ]
    assert uncommented != lines
    config = paceline.folder / "all.toml"
    config.write_text("\n".join(uncommented))
    load_settings(Plugins(), config=config, environ={})


def test_the_template_sets_only_default_values(paceline: Terminal) -> None:
    given = load_settings(Plugins(), config=TEMPLATE, environ={}).settings
    default = load_settings(Plugins(), environ={}).settings
    kept: Any = {"store": {"url"}, "strategies": True, "executors": True}
    assert given.model_dump(exclude=kept) == default.model_dump(exclude=kept)
    for section in ("strategies", "executors"):
        written = tomllib.loads(TEMPLATE.read_text())[section]
        for name, options in written.items():
            kind: Kind = "strategy" if section == "strategies" else "executor"
            offer = Plugins().offer(kind, name)
            assert offer.check(options, name) == offer.check({}, name)


def test_init_replaces_nothing_unless_forced(paceline: Terminal) -> None:
    (paceline.folder / "roadmap.json").write_text("mine")
    said = paceline("init", code=2)
    assert "roadmap.json exists already; --force" in said.err
    assert (paceline.folder / "roadmap.json").read_text() == "mine"
    assert not (paceline.folder / "paceline.toml").exists(), "all or nothing"
    paceline("init", "--force")
    assert json.loads((paceline.folder / "roadmap.json").read_text())["title"]


def test_config_show_names_value_and_origin_of_each_setting(paceline: Terminal) -> None:
    (paceline.folder / "paceline.toml").write_text("[run]\nlease = 60\n")
    paceline.setenv(PACELINE_STRATEGIES__PER_ROADMAP__LIMIT="7")
    shown = paceline("config", "show", "--set", "store.pool_size=4", "--json").json["settings"]
    by_key = {one["key"]: (one["value"], one["origin"]) for one in shown}
    assert by_key["run.lease"] == (60, "paceline.toml")
    assert by_key["store.pool_size"] == (4, "--set store.pool_size")
    assert by_key["run.grace"] == (25, "default")
    assert by_key["strategies.per-roadmap.limit"] == (
        7,
        "environment PACELINE_STRATEGIES__PER_ROADMAP__LIMIT",
    )
    assert by_key["provider.api_key"] == ("********", "environment OPENAI_API_KEY")


@pytest.mark.parametrize(
    "setting",
    [
        "store.url=postgresql://me:hidden-password@host/db",
        "redis.url=redis://:hidden-password@host/0",
        "provider.base_url=https://host/v1?api_key=hidden-password",
        "provider.api_key=hidden-password",
    ],
)
def test_config_show_masks_every_secret(paceline: Terminal, setting: str) -> None:
    # Each call of the fixture checks that no secret is printed.
    assert "********" in paceline("config", "show", "--set", setting).out
    assert "********" in paceline("config", "show", "--set", setting, "--json").out


def test_a_table_in_a_list_is_shown_as_a_table(paceline: Terminal) -> None:
    paceline.setenv(PACELINE_WEB__TOKENS='[{token = "hidden-hidden-hidden", tenant = "acme"}]')
    shown = paceline("config", "show", "--changed", "--json").json["settings"]
    assert [it["value"] for it in shown if it["key"] == "web.tokens"] == [
        [{"token": "********", "tenant": "acme", "scope": "write"}]
    ]


def test_config_show_names_the_origin_of_each_price(paceline: Terminal) -> None:
    (paceline.folder / "paceline.toml").write_text(
        '[provider]\nmodel = "gpt-4o-mini"\n'
        '[models.own]\nmodel = "other"\nprompt_price = 3\ncompletion_price = 5\n'
        '[models.unknown]\nmodel = "not-in-the-table"\n'
    )

    def prices() -> dict[str, tuple[object, str]]:
        shown = paceline("config", "show", "--json").json["settings"]
        found = [one for one in shown if one["key"].endswith("prompt_price")]
        return {one["key"]: (one["value"], one["origin"]) for one in found}

    table = f"genai-prices {version('genai-prices')}"
    found = prices()
    assert found["provider.prompt_price"] == (0.15, table)
    assert found["provider.cached_prompt_price"] == (0.075, table)
    assert found["models.own.prompt_price"] == (3.0, "paceline.toml")
    assert found["models.own.cached_prompt_price"] == (None, "default")
    assert found["models.unknown.prompt_price"] == (None, "default")
    (paceline.folder / "paceline.toml").write_text(
        "[provider]\nprompt_price = 1\ncompletion_price = 2\n[models.cool]\ntemperature = 0\n"
    )
    found = prices()
    assert found["provider.prompt_price"] == (1.0, "paceline.toml")
    assert found["models.cool.prompt_price"] == (1.0, "provider.prompt_price")


def test_config_shows_only_what_was_set_if_asked(paceline: Terminal) -> None:
    lines = paceline("config", "show", "--changed").out.splitlines()
    assert [line.split()[0] for line in lines] == ["setting", "provider.api_key"]
    set_to_default = paceline("config", "--changed", "--set", "store.pool_size=10").out
    assert "store.pool_size" in set_to_default


@pytest.mark.parametrize("group", ["config", "plugins"])
def test_a_group_alone_lists_as_its_commands_show_and_list_do(
    paceline: Terminal, group: str
) -> None:
    shown = paceline(group, "show")
    assert len(shown.out.splitlines()) > 20
    assert paceline(group) == paceline(group, "list") == shown
    assert paceline(group, "--json").json == paceline(group, "list", "--json").json
    for option in ("-h", "--help"):
        assert "  show  " in paceline(group, option).out


def test_a_wrong_setting_exits_with_code_two_and_one_line(paceline: Terminal) -> None:
    said = paceline("config", "show", "--set", "store.pool_sise=4", code=2)
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "did you mean 'pool_size'?" in said.err


def test_a_pod_beside_a_service_named_paceline_starts(paceline: Terminal) -> None:
    paceline.setenv(
        PACELINE_PORT="tcp://10.0.0.1:80",
        PACELINE_REDIS_SERVICE_HOST="10.0.0.2",
        PACELINE_REDIS__URL="",
        PACELINE_CONFIG="",
        PACELINE_TOKEN="",
    )
    assert "tcp://" not in paceline("config", "--changed").out
    paceline("db", "upgrade")
    assert "runs: 0 running" in paceline("status").out
