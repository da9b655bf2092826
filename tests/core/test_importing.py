"""Content that exists elsewhere: checked as a whole, stored as current versions."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from paceline.client.content.importing import MAX_LINE, ImportFaults
from paceline.client.run_request import RunRequest
from paceline.errors import RunInWork
from paceline.settings.model import RunSettings, Settings
from paceline.testing.scripted import plain_answer
from paceline.testing.virtual_time import virtual_time

from tests.support.memory_worker import Rig, a_roadmap, rig

STEPS = ["tutorial", "quiz"]
SETTINGS = Settings(strategy=["unbounded"], run=RunSettings(steps=STEPS))
DEFAULT = RunRequest()


def line(concept_id: str, step: str, **changes: object) -> bytes:
    """A valid line with these changes."""
    content = json.loads(plain_answer(step if step in STEPS else "quiz"))
    data = {"concept_id": concept_id, "step": step, "content": content, **changes}
    return json.dumps(data).encode()


def file(*lines: bytes) -> list[tuple[str, Iterable[bytes]]]:
    """One file with these lines."""
    return [("old.jsonl", [one + b"\n" for one in lines])]


def everything(concepts: int) -> list[tuple[str, Iterable[bytes]]]:
    """All artifacts of ``a_roadmap``."""
    return file(*(line(f"c{n}", step) for n in range(concepts) for step in STEPS))


async def made(it: Rig, run_id: str) -> list[str]:
    """Work on a run; the steps that were called."""
    await it.client.resume(run_id)
    await it.worker.run(run_id)
    assert (await it.store.run(run_id)).status == "completed"
    return [request.step for request in it.provider.requests]


@virtual_time
async def test_a_run_with_all_its_content_is_completed_without_a_call() -> None:
    async with rig(settings=SETTINGS) as it:
        run, number = await it.client.import_roadmap(a_roadmap(3), DEFAULT, everything(3))
        assert run is not None
        assert (run.status, run.completed, number) == ("completed", 3, 6)
        assert it.provider.requests == []
        (artifact, _) = await it.client.artifacts(run.run_id, concept_id="c1")
        assert json.loads(artifact.content)["title"] == "A title"
        assert (artifact.attempts, artifact.version) == (0, 1)


@virtual_time
async def test_what_the_content_lacks_is_made_after_resume() -> None:
    async with rig(settings=SETTINGS) as it:
        lines = file(line("c0", "tutorial", model="mine", requested_by="Ann"), line("c1", "quiz"))
        run, _ = await it.client.import_roadmap(a_roadmap(2), DEFAULT, lines)
        assert run is not None
        assert (run.status, run.reason, run.completed) == ("paused", "imported", 0)
        assert await made(it, run.run_id) == ["quiz", "tutorial"]
        (kept, _) = await it.client.artifacts(run.run_id, concept_id="c0")
        assert (kept.model, kept.requested_by) == ("mine", "Ann")


@virtual_time
async def test_content_for_a_run_becomes_a_new_version() -> None:
    async with rig(settings=SETTINGS) as it:
        run = await it.generate(a_roadmap(2))
        content = json.loads(plain_answer("tutorial")) | {"title": "Better"}
        lines = file(line("c0", "tutorial", content=content, instruction="by hand"))
        run, number = await it.client.import_into(run.run_id, lines)
        assert (run.status, number) == ("completed", 1)
        _, second = await it.client.versions(run.run_id, "c0", "tutorial")
        assert (second.current, second.instruction) == (True, "by hand")
        assert json.loads(second.content)["title"] == "Better"


@virtual_time
async def test_imported_content_is_taken_over_by_adopt() -> None:
    async with rig(settings=SETTINGS) as it:
        await it.client.import_roadmap(a_roadmap(2), DEFAULT, everything(2))
        run, _ = await it.client.submit(a_roadmap(3), adopt=True)
        await it.worker.run(run.run_id)
        assert len(it.provider.requests) == 2


@virtual_time
async def test_every_fault_of_every_line_is_reported_and_nothing_is_stored() -> None:
    content: dict[str, Any] = json.loads(plain_answer("tutorial"))
    lines = file(
        line("c0", "tutorial"),
        b"{",
        line("c9", "tutorial"),
        line("c0", "quizz"),
        line("c0", "tutorial", content={**content, "sections": []}),
        b"",
        line("c1", "tutorial", content={**content, "sections": [], "minutes": "long"}),
        line("c1", "quiz", colour="red"),
        b'["c1"]',
        b'{"concept_id": "c1", "concept_id": "c0", "step": "quiz", "content": {}}',
    )
    async with rig(settings=SETTINGS) as it:
        with pytest.raises(ImportFaults) as refused:
            await it.client.import_roadmap(a_roadmap(2), DEFAULT, lines)
        faults = refused.value.faults
        assert [fault.split(": ")[0] for fault in faults] == [
            *("old.jsonl:2", "old.jsonl:3", "old.jsonl:4", "old.jsonl:5"),
            *("old.jsonl:7", "old.jsonl:7", "old.jsonl:8", "old.jsonl:9", "old.jsonl:10"),
        ]
        assert faults[1] == "old.jsonl:3: unknown concept 'c9' (allowed: c0, c1)"
        assert "unknown step 'quizz': did you mean 'quiz'?" in faults[2]
        assert faults[3] == (
            "old.jsonl:5: tutorial of concept 'c0' must be given once, and old.jsonl:1 has it, too"
        )
        assert faults[4].startswith("old.jsonl:7: content: sections must have at least 1 item")
        assert str(refused.value).endswith("nothing was imported")
        assert await it.client.runs() == []


@virtual_time
async def test_a_line_that_is_too_long_is_a_fault() -> None:
    async with rig(settings=SETTINGS) as it:
        with pytest.raises(ImportFaults, match="a line must not be longer than 8 MiB"):
            await it.client.import_roadmap(a_roadmap(1), DEFAULT, file(b"x" * (MAX_LINE + 1)))


@virtual_time
async def test_a_dry_run_stores_nothing() -> None:
    async with rig(settings=SETTINGS) as it:
        run, number = await it.client.import_roadmap(
            a_roadmap(2), DEFAULT, everything(2), dry_run=True
        )
        assert (run, number, await it.client.runs()) == (None, 4, [])


@virtual_time
async def test_a_run_in_work_takes_no_content() -> None:
    async with rig(settings=SETTINGS) as it:
        run, _ = await it.client.submit(a_roadmap(1))
        with pytest.raises(RunInWork, match=r"is queued: pause or cancel it first"):
            await it.client.import_into(run.run_id, everything(1))
