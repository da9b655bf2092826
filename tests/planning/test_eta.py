"""When runs will end: laws of the estimate, and estimates of real runs."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import App
from paceline.contracts.storage.records import Run
from paceline.planning.estimator import Estimator
from paceline.planning.eta import Course, Outlook
from paceline.planning.workload_file import synthetic_roadmap
from paceline.settings.model import Settings
from paceline.testing.contracts.store.inputs import artifact, claimed, done
from paceline.testing.virtual_time import real_time
from paceline_adapters.memory.store import MemoryStore
from paceline_strategies.per_roadmap import PerRoadmap

#: Artifacts of 12 and 60 concepts with one step, one every ten seconds.
STEADY = Outlook(
    Course(12, [10.0 * n for n in range(1, 13)]), Course(60, [10.0 * n for n in range(1, 61)]), 1
)
STEPS = ("tutorial", "resources", "quiz")


@given(made=st.integers(0, 500), left=st.integers(0, 500), elapsed=st.floats(0, 1e6))
def test_the_time_left_is_never_negative_and_nothing_is_left_at_the_end(
    made: int, left: int, elapsed: float
) -> None:
    assert STEADY.seconds_left(made=made, left=left, elapsed=elapsed) >= 0.0
    assert STEADY.seconds_left(made=made, left=0, elapsed=elapsed) == 0.0


@given(made=st.integers(0, 59), into=st.floats(0.0, 0.99))
def test_as_long_as_a_run_is_where_it_is_expected_the_forecast_counts(
    made: int, into: float
) -> None:
    elapsed = 10.0 * (made + into)
    left = STEADY.seconds_left(made=made, left=60 - made, elapsed=elapsed)
    assert left == pytest.approx(600.0 - elapsed, abs=1e-6)


@given(factor=st.floats(0.02, 50.0), made=st.integers(1, 59))
def test_a_run_at_another_pace_takes_longer_or_shorter_in_proportion(
    factor: float, made: int
) -> None:
    left = STEADY.seconds_left(made=made, left=60 - made, elapsed=factor * 10.0 * made)
    # The pace is known only as well as the last artifact and the next one bound it.
    assert left <= factor * 10.0 * (60 - made) * 1.01 + 1e-6 or factor < 1
    expected = factor * 10.0 * (60 - made)
    slack = factor * 10.0 * 60 / (made + 1) + 10.0
    assert abs(left - expected) <= slack + 1e-6


def test_a_late_first_artifact_makes_the_estimate_longer() -> None:
    assert STEADY.seconds_left(made=0, left=60, elapsed=5.0) == pytest.approx(595.0)
    assert STEADY.seconds_left(made=0, left=60, elapsed=20.0) == pytest.approx(1180.0)


def test_the_estimate_grows_with_the_number_of_concepts() -> None:
    found = [STEADY.seconds_left(made=0, left=left, elapsed=0.0) for left in (6, 12, 60, 240)]
    assert found == pytest.approx([60.0, 120.0, 600.0, 2400.0])


def test_without_a_limit_more_concepts_take_as_long() -> None:
    flat = Outlook(Course(12, [10.0] * 12), Course(60, [10.0] * 60), 1)
    assert flat.seconds_left(made=0, left=1000, elapsed=0.0) == pytest.approx(10.0)


def test_a_forecast_that_saves_nothing_has_no_course() -> None:
    assert Course.of(1, [[], [1.0]]) is None
    assert Course.of(1, []) is None


async def started(store: MemoryStore, made: int = 0) -> Run:
    """A running run with this number of tutorials."""
    claim = await claimed(store)
    for number in range(made):
        await store.save(claim, artifact(f"c{number}"), concept=None)
    return await store.run(claim.run_id)


@real_time
async def test_a_running_run_has_an_estimate_and_others_have_none() -> None:
    store = MemoryStore()
    await store.open()
    app = App(Settings(strategy=["per-roadmap"]), store=store)
    estimator = Estimator(app.factory, store)
    run = await started(store)
    found = await estimator.seconds_left([run], patience=60)
    assert 30 < found[run.run_id] < 300  # three steps of 10 to 30 s, all concepts at once
    outlook = await estimator.outlook(STEPS, 1)
    assert outlook is not None
    assert outlook.source == "documented defaults (no data)"
    claim_of = await claimed(store, "other")
    await store.finish(claim_of, "partial")
    assert await estimator.seconds_left([await store.run(claim_of.run_id)]) == {}
    await estimator.close()


@real_time
async def test_estimates_rest_on_past_runs_and_cost_one_forecast_for_all_runs() -> None:
    store = MemoryStore()
    await store.open()
    past = await claimed(store, "past")
    for number in range(3):
        for step in STEPS:
            await store.save(past, artifact(f"c{number}", step, seconds=1.0), concept=None)
    await store.finish(past, "completed")
    estimator = Estimator(App(store=store).factory, store)
    first = await started(store)
    (left,) = (await estimator.seconds_left([first], patience=60)).values()
    assert left < 10
    made_once = await estimator.outlook(STEPS, 1)
    second = await store.run((await claimed(store, "second")).run_id)
    assert set(await estimator.seconds_left([first, second])) == {first.run_id, second.run_id}
    assert await estimator.outlook(STEPS, 1) is made_once
    await estimator.close()


@real_time
async def test_the_store_is_not_asked_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = MemoryStore(), list[int]()
    await store.open()
    read = store.run_paces

    async def counted(run_ids: list[str]) -> object:
        asked.append(len(run_ids))
        return await read(run_ids)

    monkeypatch.setattr(store, "run_paces", counted)
    estimator = Estimator(App(store=store).factory, store)
    run = await started(store)
    for _ in range(20):
        await estimator.seconds_left([run])
    assert asked == [1]
    await estimator.close()


@real_time
async def test_without_a_forecast_there_is_no_estimate_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Bound(PerRoadmap):
        def __init__(self) -> None:
            super().__init__(3)
            self.open = (_ for _ in ())

    caplog.set_level(logging.INFO, "paceline.planning")
    store = MemoryStore()
    await store.open()
    app = App(store=store, strategies=[("bound", Bound())])
    estimator = Estimator(app.factory, store)
    run = await started(store)
    for _ in range(3):
        assert await estimator.seconds_left([run], patience=60) == {}
    assert len([one for one in caplog.messages if "cannot be estimated" in one]) == 1
    await estimator.close()


@real_time
async def test_what_an_earlier_claim_made_does_not_count_as_pace() -> None:
    store = MemoryStore()
    await store.open()
    claim = await claimed(store)
    for step in STEPS:
        concept = done("c0") if step == "quiz" else None
        await store.save(claim, artifact("c0", step), concept=concept)
    await store.hand_back(claim)
    again = await claimed_again(store, claim.run_id)
    estimator = Estimator(App(store=store).factory, store)
    (left,) = (await estimator.seconds_left([again], patience=60)).values()
    assert left > 3  # three steps of 1.5 s, as in the past; not at the pace of the first claim
    await estimator.close()


async def claimed_again(store: MemoryStore, run_id: str) -> Run:
    assert await store.claim(run_id, "worker", lease=30.0) is not None
    return await store.run(run_id)


def test_a_forecast_of_a_subset_of_steps_is_shorter() -> None:
    async def scenario() -> tuple[float, float]:
        store = MemoryStore()
        await store.open()
        estimator = Estimator(App(store=store).factory, store)
        all_steps = await estimator.outlook(STEPS, 1, patience=60)
        one_step = await estimator.outlook(("tutorial",), 1, patience=60)
        assert all_steps is not None
        assert one_step is not None
        return all_steps.small.end, one_step.small.end

    longer, shorter = asyncio.run(scenario())
    assert shorter < longer
    assert synthetic_roadmap(1, 1).concept_count() == 1
