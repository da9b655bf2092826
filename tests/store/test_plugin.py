"""Choosing a store by the settings."""

import subprocess
import sys

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
