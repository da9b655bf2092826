"""The sink `files`: a local folder, a file system in memory, and a real S3 server."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from paceline import Finding, PluginError, SinkUnavailable
from paceline.testing.virtual_time import real_time
from paceline_adapters.sinks.files import FilesSink
from paceline_adapters.sinks.files_plugin import FilesOptions

from tests.sinks.deliveries import an_artifact, an_end


def files(url: object, **options: Any) -> FilesSink:
    return FilesSink(FilesOptions.model_validate({"url": str(url), **options}))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@real_time
async def test_each_version_and_each_ended_run_has_its_file(tmp_path: Path) -> None:
    sink = files(tmp_path / "new" / "content")
    assert not await sink.deliver([an_artifact(), an_artifact(number=2), an_end()])
    assert names(tmp_path / "new" / "content") == [
        "python/run-1/loops/tutorial/v1.md",
        "python/run-1/loops/tutorial/v2.md",
        "python/run-1/run.json",
    ]
    made = (tmp_path / "new/content/python/run-1/loops/tutorial/v2.md").read_text(encoding="utf-8")
    assert made == "# Schleifen — ü\n"
    end = json.loads((tmp_path / "new/content/python/run-1/run.json").read_text(encoding="utf-8"))
    assert (end["type"], end["data"]["status"], end["data"]["tenant"]) == (
        "run.ended",
        "partial",
        "acme",
    )


@real_time
async def test_json_has_all_that_is_known(tmp_path: Path) -> None:
    sink = files(tmp_path, key="{concept}-{step}.json")
    await sink.deliver([an_artifact()])
    made = json.loads((tmp_path / "loops-tutorial.json").read_text(encoding="utf-8"))
    assert (made["type"], made["data"]["version"], made["data"]["cost"]) == (
        "artifact.saved",
        1,
        0.012346,
    )
    assert made["data"]["content"] == {"title": "Schleifen — ü"}


@real_time
async def test_a_second_delivery_leaves_one_whole_file(tmp_path: Path) -> None:
    sink = files(tmp_path)
    for _ in range(3):
        await sink.deliver([an_artifact()])
    assert names(tmp_path) == ["python/run-1/loops/tutorial/v1.md"]


@real_time
async def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    sink, whole = files(tmp_path, key="{concept}/{step}.md"), 200_000
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        path = tmp_path / "loops/tutorial.md"
        while not done.is_set():
            if path.exists():
                seen.add(path.stat().st_size)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 30):
            await sink.deliver([an_artifact(number=number, readable="x" * whole)])
    finally:
        done.set()
        reader.join()
    assert seen <= {whole + 1}


@real_time
async def test_a_folder_that_cannot_be_written_is_a_sink_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    sink = files(tmp_path / "file")
    with pytest.raises(SinkUnavailable, match=r"file/python/run-1/loops/tutorial/v1\.md: "):
        await sink.deliver([an_artifact()])


@real_time
async def test_what_was_written_before_a_fault_is_named(tmp_path: Path) -> None:
    sink = files(tmp_path)
    first, second = an_artifact("a"), an_artifact("b")
    (tmp_path / "python/run-1").mkdir(parents=True)
    (tmp_path / "python/run-1/b").write_text("in the way")
    with pytest.raises(SinkUnavailable) as down:
        await sink.deliver([first, second])
    assert down.value.delivered == {first.id}


@real_time
async def test_a_name_that_no_file_can_have_is_rejected_alone(tmp_path: Path) -> None:
    (tmp_path / "python/run-1/a/tutorial/v1.md").mkdir(parents=True)
    bad, good = an_artifact("a"), an_artifact("b")
    rejected = await files(tmp_path).deliver([bad, good])
    assert list(rejected or ()) == [bad.id]
    assert "python/run-1/b/tutorial/v1.md" in names(tmp_path)


@real_time
async def test_any_file_system_of_fsspec_works() -> None:
    sink = files("memory://shelf/content")
    await sink.deliver([an_artifact(), an_end()])
    memory = fsspec.filesystem("memory")
    assert memory.cat("/shelf/content/python/run-1/loops/tutorial/v1.md").startswith(b"# Sch")
    assert "reached" in str(await sink.check())


@real_time
async def test_the_check_names_what_is_wrong(tmp_path: Path) -> None:
    assert await files(tmp_path / "later").check() == f"{tmp_path / 'later'} is writable"
    found = await files(tmp_path, key="{roadmap}/{concept}/{step}/v{version}.md").check()
    assert isinstance(found, Finding)
    assert found.level == "warning"
    assert names(tmp_path) == [], "a check writes nothing"


def test_a_missing_package_is_named() -> None:
    with pytest.raises(PluginError, match="pip install gcsfs"):
        files("gs://bucket")


# -- a real S3 server -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of an S3 server with an empty bucket."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


def storage(url: str) -> dict[str, object]:
    return {"endpoint_url": url, "key": "0123", "secret": "a-secret", "use_listings_cache": False}


@real_time
async def test_s3_gets_an_object_for_each_version(s3: str) -> None:
    url = "s3://content/made"
    remote: Any = fsspec.filesystem("s3", **storage(s3))
    await asyncio.to_thread(remote.mkdir, "content")
    sink = files(url, storage=storage(s3))
    assert not await sink.deliver([an_artifact("中文"), an_end()])
    found = await asyncio.to_thread(remote.find, "content/made")
    end, made = sorted(name.partition("run-1/")[2] for name in found)
    assert end == "run.json"
    assert made.startswith("中文~")
    assert "made" in str(await sink.check())


@real_time
async def test_a_missing_bucket_is_a_sink_that_is_down(s3: str) -> None:
    sink = files("s3://no-such-bucket/x", storage=storage(s3))
    with pytest.raises(SinkUnavailable, match="no-such-bucket"):
        await sink.deliver([an_artifact()])
    remote: Any = fsspec.filesystem("s3", **storage(s3))
    assert not await asyncio.to_thread(remote.exists, "no-such-bucket"), "a bucket was created"
