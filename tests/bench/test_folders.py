"""Temporary folders of benchmarks: those of dead ones go, all others stay."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from paceline.contracts.identity import ProcessIdentity, this_process
from paceline_adapters.bench.folders import remove_abandoned, temporary_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def a_folder(place: Path, name: str, note: object) -> Path:
    folder = place / f"paceline-bench-{name}"
    folder.mkdir()
    (folder / "data").write_text("x")
    if note is not None:
        (folder / ".paceline-bench.json").write_text(json.dumps(note))
    return folder


def test_folders_of_dead_benchmarks_are_removed_and_all_others_stay(temporary: Path) -> None:
    me = this_process()
    dead = asdict(ProcessIdentity(me.host, me.pid, me.started - 3600))
    gone = a_folder(temporary, "gone", dead)
    kept = [
        a_folder(temporary, "mine", asdict(me)),
        a_folder(temporary, "no-note", None),
        a_folder(temporary, "other-host", {**dead, "host": "elsewhere/1"}),
        a_folder(temporary, "wrong-note", ["x"]),
        a_folder(temporary, "half-note", {"pid": 1}),
    ]
    outside = temporary / "outside"
    outside.mkdir()
    (outside / ".paceline-bench.json").write_text(json.dumps(dead))
    (temporary / "paceline-bench-link").symlink_to(outside)
    assert remove_abandoned() == [gone]
    assert not gone.exists()
    assert all((one / "data").exists() for one in kept)
    assert outside.exists()


def test_a_folder_is_removed_at_its_end(temporary: Path) -> None:
    with temporary_folder() as folder:
        assert remove_abandoned() == []
        assert folder.parent == temporary
    assert not folder.exists()
