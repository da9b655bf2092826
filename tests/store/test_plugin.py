"""Choosing a store by the settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from paceline.errors import SettingsError
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings
from paceline.testing.contracts.store.inputs import submitted
from paceline.testing.virtual_time import real_time

from tests.support.databases import SqlPlace


@real_time
async def test_the_scheme_of_the_url_chooses_the_store(sql_place: SqlPlace) -> None:
    settings = Settings(store=sql_place.settings())
    offer = Plugins().store(settings.store_kind)
    store = offer.make({}, Context(settings=settings, worker_id="w"), "store")
    await store.open()
    assert (await submitted(store)).status == "queued"
    await store.close()


def test_a_wrong_url_is_an_error_of_the_settings(sqlite_place: SqlPlace) -> None:
    settings = Settings(store=SqlPlace("sqlite://").settings())
    with pytest.raises(SettingsError, match=r"store\.url: sqlite needs a file"):
        Plugins().store("sqlite").make({}, Context(settings=settings), "store")


@pytest.mark.parametrize("url", ["sqlite:///a?b.db", "sqlite:///a.db?mode=ro", "sqlite:///a?"])
def test_a_question_mark_in_the_name_of_a_file_must_be_escaped(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(store=SqlPlace(url).settings())
    with pytest.raises(SettingsError, match=r"store\.url: .* write it as %3F"):
        Plugins().store("sqlite").make({}, Context(settings=settings), "store")


@real_time
async def test_the_file_has_the_name_of_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(store=SqlPlace("sqlite:///a%3Fb%25.db").settings())
    store = Plugins().store("sqlite").make({}, Context(settings=settings), "store")
    await store.open()
    await store.close()
    assert (tmp_path / "a?b%.db").exists()


def test_registering_the_stores_imports_no_database_library() -> None:
    program = """
import sys
from paceline.plugins.registry import Plugins
print(Plugins().store("sqlite").summary, Plugins().store("postgresql").summary)
sys.exit(bool({"sqlalchemy", "alembic", "asyncpg", "aiosqlite"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_driver_names_the_extra_to_install() -> None:
    program = """
import sys
from pydantic import SecretStr
from paceline.plugins.context import Context
from paceline.errors import PluginError
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings, StoreSettings
sys.modules["asyncpg"] = None  # as if it were not installed
settings = Settings(store=StoreSettings(url=SecretStr("postgresql://u:p@h/d")))
try:
    Plugins().store("postgresql").make({}, Context(settings=settings), "store")
except PluginError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == (
        "store 'postgresql' needs asyncpg, which is not installed: "
        "pip install 'paceline[postgres]'\n"
    )
