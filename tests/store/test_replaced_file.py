"""An SQLite file that is removed, renamed or replaced while it is open."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paceline.errors import StoreLost
from paceline.testing.contracts.store.inputs import artifact, claimed, done
from paceline.testing.virtual_time import real_time
from paceline_adapters.sql.store import SqlStore

from tests.support.cli_processes import Home, Simulator, simulator
from tests.support.databases import SqlitePlace
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap


def remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replace(path: Path) -> None:
    """As a restored backup, with a file that has the same tables."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.rename(path)


HARMS = [remove, rename, replace]


@pytest.mark.parametrize("harm", HARMS)
@real_time
async def test_no_call_succeeds_on_a_file_that_lost_its_path(
    sqlite_place: SqlitePlace, harm: Callable[[Path], None]
) -> None:
    async with sqlite_place.store() as store:
        claim = await claimed(store)
        await store.save(claim, artifact("c0"), concept=done("c0"))
        harm(sqlite_place.path)
        how = "replaced by another file" if harm is replace else "removed or renamed"
        lost = rf"paceline\.db was {how} while it was open"
        for use in (
            lambda: store.save(claim, artifact("c1"), concept=done("c1")),
            lambda: store.run(claim.run_id),
            lambda: store.finish(claim, "completed"),
            lambda: store.claim_next("in-process", "w", lease=30.0),
        ):
            with pytest.raises(StoreLost, match=lost):
                await use()


@real_time
async def test_a_commit_to_a_removed_file_is_not_acknowledged(sqlite_place: SqlitePlace) -> None:
    async with sqlite_place.store(pool_limit=1) as store:
        assert isinstance(store, SqlStore)

        async def removed_meanwhile(_: object) -> None:
            await asyncio.to_thread(remove, sqlite_place.path)

        with pytest.raises(StoreLost):
            await store._database.write(removed_meanwhile)


@real_time
async def test_a_process_that_changes_its_folder_finds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with SqlitePlace(Path("here.db")).store() as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        await claimed(store)


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """Answers take about a second, so that the file is lost while a run works."""
    with simulator("--speed", "20") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, llm: Simulator) -> Home:
    """A folder with a roadmap of 20 concepts, of which two are generated at the same time."""
    llm.reset()
    (tmp_path / "roadmap.json").write_text(a_roadmap(20).to_json())
    return Home(
        tmp_path,
        {
            "PACELINE_PROVIDER__BASE_URL": llm.base_url,
            "PACELINE_PROVIDER__API_KEY": "any",
            "PACELINE_STRATEGIES__PER_ROADMAP__LIMIT": "2",
        },
    )


def paid(llm: Simulator) -> int:
    """Number of calls that were answered."""
    return int(llm.figures()["paid"])


@pytest.mark.parametrize(
    ("command", "harm"),
    [(("run", "roadmap.json"), remove), pytest.param(("worker",), replace, marks=pytest.mark.soak)],
)
def test_a_command_stops_when_its_file_is_gone(
    home: Home, llm: Simulator, command: tuple[str, ...], harm: Callable[[Path], None]
) -> None:
    if command == ("worker",):
        home.run("submit", "roadmap.json")
    with home.started(*command) as process:
        eventually(lambda: paid(llm) >= 4, within=60)
        harm(home.folder / "paceline.db")
        assert process.wait(30) == 1
    assert paid(llm) < 20
    said = home.log("process")
    assert said.count("while it was open") == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("paceline: error: database file paceline.db was ")
