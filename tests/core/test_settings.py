"""The origins of settings, and the errors about wrong ones."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from paceline import App
from paceline.client.terminal.local_workers import variables
from paceline.errors import SettingsError
from paceline.plugins.registry import Plugins
from paceline.settings.load import Loaded, Value, load_settings, parse_assignment
from paceline.settings.show import effective, mask_url


def load(
    tmp_path: Path, text: str = "", *flags: Value, environ: Mapping[str, str] | None = None
) -> Loaded:
    config = tmp_path / "paceline.toml"
    config.write_text(text)
    return load_settings(Plugins(), config=config, flags=flags, environ=environ or {})


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    text = "[store]\npool_size = 1\nmax_overflow = 1\npool_timeout = 1\n"
    environ = {"PACELINE_STORE__POOL_SIZE": "2", "PACELINE_STORE__MAX_OVERFLOW": "2"}
    loaded = load(tmp_path, text, parse_assignment("store.pool_size=3"), environ=environ)
    store = loaded.settings.store
    assert (store.pool_size, store.max_overflow, store.pool_timeout) == (3, 2, 1)
    assert store.reserve == 10
    assert loaded.origins["store.pool_size"] == "--set store.pool_size"
    assert loaded.origins["store.max_overflow"] == "environment PACELINE_STORE__MAX_OVERFLOW"


def test_each_wrong_option_names_where_it_was_set(tmp_path: Path) -> None:
    text = "[executors.celery]\nconcurrency = 3\npool = 'gevent'\n"
    flag = parse_assignment("executors.celery.prefetch_multiplier=0")
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, text, flag)
    pool, prefetch = str(raised.value).split("; ")
    assert pool.startswith("executors.celery.pool must be 'prefork' or 'threads', got 'gevent'")
    assert pool.endswith("paceline.toml")
    assert prefetch.endswith("in --set executors.celery.prefetch_multiplier")


def test_options_that_do_not_fit_together_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, "[executors.celery]\ntime_limit = 4000\n")
    assert str(raised.value).startswith(
        "executors.celery: soft_time_limit must be below time_limit, and that below "
        "visibility_timeout (they are 1500, 4000, 3600) — in "
    )


def test_underscores_of_environment_names_become_dashes(tmp_path: Path) -> None:
    environ = {
        "PACELINE_STRATEGY": "per-roadmap,global",
        "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "7",
        "PACELINE_EXECUTORS__IN_PROCESS__CONCURRENCY": "3",
    }
    settings = load(tmp_path, environ=environ).settings
    assert settings.strategy == ["per-roadmap", "global"]
    assert settings.strategies == {"per-roadmap": {"limit": "7"}}
    assert settings.executors == {"in-process": {"concurrency": "3"}}


def test_the_openai_variables_apply_with_the_lowest_precedence(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-weak", "OPENAI_BASE_URL": "http://weak/v1"}
    settings = load(tmp_path, "[provider]\nbase_url = 'http://file/v1'\n", environ=environ).settings
    assert settings.provider.base_url == "http://file/v1"
    assert settings.provider.api_key is not None
    assert settings.provider.api_key.get_secret_value() == "sk-weak"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stratgy = 'global'", r"stratgy is not a known field: did you mean 'strategy'\?"),
        (
            "[store]\npoolsize = 3",
            r"store\.poolsize is not a known field: did you mean 'pool_size'\?",
        ),
        ("[store]\npool_size = 0", r"store\.pool_size must be at least 1, got 0"),
        ("[store]\nbudget = 'ask'", r"store\.budget must be 'shrink' or 'refuse', got"),
        ("strategy = 'globl'", r"unknown strategy 'globl': did you mean 'global'\?"),
        ("executor = 'cellery'", r"unknown executor 'cellery': did you mean 'celery'\?"),
        ("[strategies.per-raodmap]\nlimit = 1", r"did you mean 'per-roadmap'\?"),
        (
            "[strategies.per-roadmap]\nlimits = 1",
            r"limits is not a known field: did you mean 'limit'\?",
        ),
        ("[strategies.per-roadmap]\nlimit = 0", r"strategies\.per-roadmap\.limit must .* got 0"),
        ("strategy = ['global', 'global']", r"^strategy names global twice — in .*toml$"),
        ("run.steps = ['quiz', 'quiz']", r"^run\.steps names quiz twice — in .*toml$"),
        ("store = 3", "^store must be an object, got 3 — in "),
        ("[store]\npool_size = true", r"^store\.pool_size must be a number, got True"),
        ("[run]\ndeadline = true", r"^run\.deadline must be a number, got True"),
        ("[strategies.per-roadmap]\nlimit = true", r"limit must be a number, got True"),
        (
            "[provider]\nbase_url = 'http://user:hidden@host/v1'",
            r"^provider\.base_url must not carry a user or password: .* set provider\.api_key",
        ),
        ("[provider]\nbase_url = 'http://hidden@host'", r"base_url must not carry a user"),
        ("[provider]\nbase_url = ['http://user:hidden@host']", r"base_url must be text"),
        ("[prompts]\nquizz = 'q.md'", r"prompts\.quizz: unknown step: did you mean 'quiz'\?"),
        ("[store", "not valid TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("[store]\nurl = 'mysql://u:hidden@h/d'", r"store\.url: unknown store 'mysql'"),
        ("[store]\nurl = 'hidden'", r"store\.url must be a database URL"),
        ("[stoer]", r"stoer is not a known field: did you mean 'store'\?"),
        ("[strategies.per-raodmap]", r"did you mean 'per-roadmap'\?"),
        ("pool_size = 3", r"pool_size is not a known field: did you mean 'store\.pool_size'\?"),
        ("store_pool_size = 3", r"did you mean 'store\.pool_size'\?"),
    ],
)
def test_an_unknown_setting_is_one_error_with_its_origin_and_the_nearest_name(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        load(tmp_path, text)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["strategy", "executor", "provider.name", "events.bus", "run.steps", "store.url"]
)
def test_a_wrong_plugin_name_is_reported_with_its_origin(tmp_path: Path, key: str) -> None:
    name = "nothing:" if key == "store.url" else "nothing"
    with pytest.raises(SettingsError, match=rf"^{key}: unknown .* — in --set {key}$"):
        load(tmp_path, "", parse_assignment(f"{key}={name}"))


def test_an_empty_table_keeps_the_defaults(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, "[provider]\n[strategies.global]\n", environ={"OPENAI_API_KEY": "sk-weak"}
    )
    assert loaded.settings.provider.api_key is not None


def test_custom_prompts_are_shown_with_their_origin(tmp_path: Path) -> None:
    loaded = load(tmp_path, "", parse_assignment("prompts.quiz=quiz.md"))
    told = {one.key: one for one in effective(loaded, Plugins())}
    assert (told["prompts"].value, told["prompts"].origin) == (
        {"quiz": "quiz.md"},
        "--set prompts.quiz",
    )


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="environment PACELINE_STORE__POOL_SIZE"):
        load(tmp_path, environ={"PACELINE_STORE__POOL_SIZE": "many"})
    with pytest.raises(SettingsError, match="environment PACELINE_STOR__URL"):
        load(tmp_path, environ={"PACELINE_STOR__URL": "x"})


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    environ = {
        "PACELINE_PROVIDER__API_KEY": "sk-hidden",
        "PACELINE_STORE__URL": "postgresql+asyncpg://me:hidden@host/db",
        "PACELINE_REDIS__URL": "rediss://:hidden@host:1/2",
    }
    plugins = Plugins()
    loaded = load(tmp_path, environ=environ)
    told = {one.key: one for one in effective(loaded, plugins)}
    assert told["store.url"].value == "postgresql+asyncpg://me:********@host/db"
    assert told["redis.url"].origin == "environment PACELINE_REDIS__URL"
    assert "hidden" not in repr(told) + repr(loaded.settings) + str(loaded.settings)


def test_an_assignment_is_read_as_toml_if_it_looks_like_toml() -> None:
    assert parse_assignment('run.steps=["quiz"]').value == ["quiz"]
    assert parse_assignment("provider.model=a=b").value == "a=b"
    for wrong in ("a=" + "[" * 5000, "run.steps", "=3", "a..b=1", "a=[1"):
        with pytest.raises(SettingsError):
            parse_assignment(wrong)


@pytest.mark.parametrize("how", ["environment", "flag"])
def test_a_flag_and_a_variable_read_the_same_text_alike(tmp_path: Path, how: str) -> None:
    def given(key: str, text: str) -> Loaded:
        if how == "flag":
            return load(tmp_path, "", parse_assignment(f"{key}={text}"))
        name = "PACELINE_" + key.upper().replace("-", "_").replace(".", "__")
        return load(tmp_path, environ={name: text})

    assert given("run.steps", '["quiz", "tutorial"]').settings.run.steps == ["quiz", "tutorial"]
    assert given("run.steps", "quiz,tutorial").settings.run.steps == ["quiz", "tutorial"]
    table = given("strategies.per-roadmap", "{limit = 7}")
    assert table.settings.strategies == {"per-roadmap": {"limit": 7}}
    assert given("provider.model", '"a, b"').settings.provider.model == "a, b"
    with pytest.raises(SettingsError, match="is not valid TOML"):
        given("run.steps", "[quiz")
    key = given("provider.api_key", "[hidden").settings.provider.api_key
    assert key is not None
    assert key.get_secret_value() == "[hidden", "a secret may begin with anything"


def test_paceline_in_a_project_file_must_be_a_table(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool]\npaceline = 3\n")
    with pytest.raises(SettingsError, match=r"tool\.paceline must be a table, got 3"):
        load_settings(Plugins(), config=project, environ={})
    project.write_text("[tool.paceline]\nexecutor = 'arq'\n[tool.other]\nx = 1\n")
    assert load_settings(Plugins(), config=project, environ={}).settings.executor == "arq"


def test_a_url_without_a_password_is_not_changed() -> None:
    assert mask_url("sqlite+aiosqlite:///x.db") == "sqlite+aiosqlite:///x.db"
    assert mask_url("redis://:p@h/0") == "redis://:********@h/0"


@pytest.mark.parametrize("secret", ["hid/den", "hid?den", "hid#den", "1/hidden", "hi:d/e@n"])
def test_any_password_is_masked(secret: str) -> None:
    masked = mask_url(f"postgresql+asyncpg://me:{secret}@host/db")
    assert masked == "postgresql+asyncpg://me:********@host/db"


KEYS = """
[strategies.global]
requests_per_minute = 60

[strategies.global.keys."openai:gpt-4.1-mini"]
concurrency = 3
"""


def test_a_quoted_key_keeps_its_dots_colons_and_dashes_from_every_origin(tmp_path: Path) -> None:
    environ = {
        "PACELINE_STRATEGIES__GLOBAL__KEYS": '{"openai:gpt-4.1-mini" = {tokens_per_minute = 7}}'
    }
    loaded = load(
        tmp_path,
        KEYS,
        parse_assignment('strategies.global.keys."openai:gpt-4.1-mini".requests_per_minute=9'),
        parse_assignment("strategies.global.keys.'a_b=c.d'.concurrency=2"),
        environ=environ,
    )
    assert loaded.settings.strategies["global"]["keys"] == {
        "openai:gpt-4.1-mini": {
            "concurrency": 3,
            "tokens_per_minute": 7,
            "requests_per_minute": "9",
        },
        "a_b=c.d": {"concurrency": "2"},
    }
    key = 'strategies.global.keys."openai:gpt-4.1-mini".'
    assert loaded.origins[f"{key}requests_per_minute"] == f"--set {key}requests_per_minute"
    shown = {one.key: one.value for one in effective(loaded, Plugins())}
    assert shown["strategy"] == ["per-roadmap"]
    origins = {
        one.key: one.origin
        for one in effective(load(tmp_path, f"strategy = 'global'\n{KEYS}"), Plugins())
    }
    assert origins[f"{key}concurrency"].endswith("paceline.toml")
    assert origins[f"{key}tokens_per_minute"] == "default"


def test_overrides_in_python_take_quoted_keys() -> None:
    given = {'strategies.adaptive.keys."a.b:c".max': 4}
    app = App.load(overrides=given, environ={"PACELINE_PLUGINS": "none"})
    assert app.settings.strategies["adaptive"] == {"keys": {"a.b:c": {"max": 4}}}


@pytest.mark.parametrize("text", ['a."b=3', "a..b=3", ".=3", 'a."".b=3', "=3", 'a."b"c=3', "a.b"])
def test_a_malformed_assignment_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError, match="--set must be KEY=VALUE"):
        parse_assignment(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[strategies.global.keys.'openai:x']\nrequest_per_minute = 1",
            r"^strategies\.global\.keys\.openai:x\.request_per_minute is not a known field: did "
            r"you mean 'requests_per_minute'\? \(allowed: concurrency, requests_per_minute, ",
        ),
        (
            "[strategies.adaptive.keys.'openai:x']\nlimit = 1",
            r"openai:x\.limit is not a known field \(allowed: start, min, max\) — in .*toml",
        ),
        (
            "[strategies.adaptive.keys.'openai:x']\nmin = 3\nmax = 2",
            r"^strategies\.adaptive: keys\.\"openai:x\" must be min <= start <= max, got min = 3",
        ),
        ("[strategies.global.keys]\nx = 3", r"^strategies\.global\.keys\.x must be .* got 3"),
        ("[strategies.global]\nkeys = 3", r"^strategies\.global\.keys must be an object, got 3"),
    ],
)
def test_a_wrong_option_of_a_key_names_the_fields_of_its_own_level(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        load(tmp_path, text)


def test_local_workers_get_every_value_that_an_option_set(tmp_path: Path) -> None:
    environ = {
        "PACELINE_STRATEGIES__GLOBAL__KEYS": '{"openai:gpt-4.1-mini" = {tokens_per_minute = 7}}'
    }
    flags = [
        parse_assignment('strategies.global.keys."openai:gpt-4.1-mini".requests_per_minute=9'),
        parse_assignment("strategies.per-roadmap.limit=3"),
        parse_assignment("strategy=['global']"),
        parse_assignment("prompts.quiz=quiz.md"),
    ]
    loaded = load(tmp_path, "", *flags, environ=environ)
    passed = variables(loaded.given)
    assert passed["PACELINE_STRATEGIES__PER_ROADMAP__LIMIT"] == "3"
    again = load(tmp_path, "", environ={**environ, **passed})
    assert again.settings == loaded.settings
