"""The context of a run: what it may be, and where it arrives."""

import json
from datetime import date
from pathlib import Path

import pytest
from paceline.client.context_schema import check_context_schema
from paceline.contracts.admission.strategy import Strategy
from paceline.contracts.admission.work import Level, Permit, Work
from paceline.contracts.run_context import MAX_CONTEXT, checked_context
from paceline.errors import ContextError, KeyReused, RunConflict, SettingsError
from paceline.settings.model import RunSettings, Settings
from paceline.testing.virtual_time import real_time, virtual_time

from tests.support.memory_worker import a_roadmap, rig

PROFILE = {"learner": {"level": "beginner", "topics": ["a", 1, None, True, 1.5]}}


class Watching(Strategy):
    """Admits everything, and keeps the work."""

    levels = frozenset[Level]({"concept", "call"})

    def __init__(self) -> None:
        self.seen: list[Work] = []

    async def admit(self, work: Work) -> Permit:
        self.seen.append(work)
        return Permit()

    def explain(self) -> str:
        return "watching"


@virtual_time
async def test_prompts_and_strategies_receive_the_context_of_the_run() -> None:
    strategy = Watching()
    async with rig(strategies=[("watching", strategy)]) as it:
        run, _ = await it.client.submit(a_roadmap(2), context=PROFILE)
        assert run.context == PROFILE
        assert await it.worker.run(run.run_id) == "completed"
        line = f"Context: {json.dumps(PROFILE)}"
        assert all(line in one.messages[-1].content for one in it.provider.requests)
        assert {work.level for work in strategy.seen} == {"concept", "call"}
        assert all(work.context == PROFILE for work in strategy.seen)


@virtual_time
async def test_another_context_is_another_run() -> None:
    async with rig() as it:
        run, _ = await it.client.submit(a_roadmap(1), context=PROFILE, key="k")
        with pytest.raises(RunConflict, match=r"another context .* use --adopt"):
            await it.client.submit(a_roadmap(1))
        with pytest.raises(KeyReused):
            await it.client.submit(a_roadmap(1), context={"level": 2}, key="k")
        acme = it.client.for_tenant("acme")
        other, what = await acme.submit(a_roadmap(1), context={"level": 2})
        assert (what, other.context) == ("created", {"level": 2}), "tenants do not interfere"
        again, what = await it.client.submit(a_roadmap(1), context=json.loads(json.dumps(PROFILE)))
        assert (again.run_id, what) == (run.run_id, "attached")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["no"], "context must be an object, got list"),
        ({"a": {"b": [1, float("nan")]}}, "context.a.b[1]: nan is not a JSON number"),
        ({"a": {"b": {1, 2}}}, "context.a.b: set is not a JSON value"),
        ({"a": [{"b": "half \ud800"}]}, "context.a[0].b: the text contains half of a surrogate"),
        ({"a": {1: "x"}}, "context.a: a key must be text, got 1"),
        ({"a": 10**5000}, "context: a number has too many digits"),
        ({"a": "ü" * MAX_CONTEXT}, "context must have at most 65536 bytes of JSON, got 131080"),
    ],
)
def test_a_context_that_is_no_json_object_names_the_place(given: object, says: str) -> None:
    with pytest.raises(ContextError) as refused:
        checked_context(given)
    assert str(refused.value).startswith(says)


def test_a_deeply_nested_context_is_refused() -> None:
    deep: object = 1
    for _ in range(200):
        deep = {"in": deep}
    with pytest.raises(ContextError, match="nested too deeply"):
        checked_context(deep)


def test_the_largest_context_is_allowed_and_dates_become_text() -> None:
    assert checked_context({"a": "x" * (MAX_CONTEXT - len('{"a":""}'))})
    assert checked_context({"since": date(2026, 5, 1)}) == {"since": "2026-05-01"}


SCHEMA = {
    "type": "object",
    "required": ["level"],
    "properties": {
        "level": {"enum": ["beginner", "expert"]},
        "topics": {"type": "array", "items": {"type": "string"}},
    },
}


def a_schema(folder: Path, text: str) -> Path:
    """A schema file."""
    path = folder / "context.json"
    path.write_text(text)
    return path


@real_time
async def test_every_fault_against_the_schema_has_its_path(tmp_path: Path) -> None:
    path = a_schema(tmp_path, json.dumps(SCHEMA))
    await check_context_schema(path, {"level": "expert"})
    with pytest.raises(ContextError) as refused:
        await check_context_schema(path, {"level": "x" * 1000, "topics": ["a", 1]})
    level, topics = refused.value.faults
    assert level.startswith("context.level: 'xxx")
    assert len(level) < 400, "a fault does not repeat a large value"
    assert topics == "context.topics[1]: 1 is not of type 'string'"


@real_time
async def test_a_context_that_does_not_match_stores_nothing(tmp_path: Path) -> None:
    path = a_schema(tmp_path, json.dumps(SCHEMA))
    settings = Settings(strategy=["unbounded"], run=RunSettings(context_schema=path))
    async with rig(settings=settings) as it:
        with pytest.raises(ContextError, match="context: 'level' is a required property"):
            await it.client.submit(a_roadmap(1))
        assert await it.client.runs() == []
        _, what = await it.client.submit(a_roadmap(1), context={"level": "expert"})
        assert what == "created"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON at line 1, column 2"),
        ("[]", "a JSON schema must be an object"),
        ('{"type": "thing"}', "type: 'thing' is not valid under any of the given schemas"),
    ],
)
@real_time
async def test_a_wrong_schema_is_an_error_in_the_settings(
    text: str, says: str, tmp_path: Path
) -> None:
    path = a_schema(tmp_path, text)
    with pytest.raises(SettingsError) as refused:
        await check_context_schema(path, {})
    assert str(refused.value).startswith(f"run.context_schema: {path}: {says}")


@real_time
async def test_a_missing_schema_and_a_reference_to_another_document_are_errors(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        await check_context_schema(tmp_path / "nothing.json", {})
    path = a_schema(tmp_path, '{"$ref": "http://127.0.0.1:9/schema.json"}')
    with pytest.raises(SettingsError, match="a reference leads nowhere: http://127"):
        await check_context_schema(path, {"a": 1})
