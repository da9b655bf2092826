"""Metrics of calls, tokens and waits, on the real `/metrics` of a server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.contracts.call_counts import BOUNDS, CallCounts, Durations
from paceline.contracts.storage.records import Figures
from paceline.testing.contracts.store.inputs import artifact, claimed, worker
from paceline.testing.virtual_time import real_time
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.cli_processes import simulator
from tests.support.eventually import eventually_async
from tests.support.memory_worker import a_roadmap
from tests.support.web_site import Site, site

#: Labels that metrics may have. A tenant, a run or a roadmap would make a series each.
LABELS = {
    *("model", "step", "kind", "currency", "level", "state", "sink", "scope"),
    *("transport", "method", "route", "status", "le"),
}


async def samples(here: Site) -> list[Sample]:
    """Every sample of `/metrics`, as Prometheus would parse it."""
    answer = await here.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return [one for family in text_string_to_metric_families(answer.text) for one in family.samples]


async def value(here: Site, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels; 0 if there is none."""
    return sum(
        one.value
        for one in await samples(here)
        if one.name == name and labels.items() <= one.labels.items()
    )


def counted(saved: int, failed: Mapping[str, int] | None = None) -> Figures:
    """What a worker reports."""
    buckets = (saved, *(0 for _ in BOUNDS))
    calls = CallCounts(
        answered=Durations(buckets=buckets, seconds=0.05 * saved), failed=failed or {}
    )
    return Figures(saved=saved, attempts={"openai:gpt": calls})


@real_time
async def test_a_run_shows_in_the_metrics_of_its_calls(tmp_path: Path) -> None:
    with simulator("--speed", "1000", "--fault", "429=0.3", "--fault-first", "1") as llm:
        chain: dict[str, Any] = {
            "run": {"steps": ["tutorial"]},
            "steps": {"tutorial": {"model": ["main", "spare"]}},
            "provider": {
                "base_url": llm.base_url,
                "api_key": "any",
                "model": "none-such",
                "backoff": 0.01,
            },
            "models": {"spare": {"model": "gpt-4o-mini", "prompt_price": 1, "completion_price": 2}},
        }
        async with site(tmp_path, work=True, **chain) as here:
            run_id = await here.submitted(a_roadmap(12))

            async def completed() -> bool:
                run = (await here.client.get(f"/api/runs/{run_id}")).json()
                return bool(run["status"] == "completed")

            await eventually_async(completed, within=60)

            async def reported() -> bool:
                return await value(here, "paceline_artifacts_saved_total") == 12

            await eventually_async(reported, within=30)
            spare = {"model": "openai:gpt-4o-mini"}
            found = await samples(here)
            assert await value(here, "paceline_llm_call_seconds_count", **spare) == 12
            assert await value(here, "paceline_llm_call_seconds_bucket", le="+Inf", **spare) == 12
            assert await value(here, "paceline_fallbacks_total") == 12
            unusable = {"model": "openai:none-such", "kind": "ProviderUnusable"}
            assert await value(here, "paceline_llm_failures_total", **unusable) > 0
            assert await value(here, "paceline_llm_refusals_total") > 0
            for level in ("concept", "call"):
                waits = await value(here, "paceline_admission_wait_seconds_count", level=level)
                assert waits >= 12
            tutorial = {"model": "gpt-4o-mini", "step": "tutorial"}
            prompt = await value(here, "paceline_tokens_total", kind="prompt", **tutorial)
            answers = await value(here, "paceline_tokens_total", kind="completion", **tutorial)
            cost = await value(here, "paceline_cost_total", currency="USD", **tutorial)
            assert prompt > 0 < answers
            assert round(cost, 6) == round((prompt + 2 * answers) / 1e6, 6)
            assert {label for one in found for label in one.labels} <= LABELS


@real_time
async def test_counters_do_not_fall_when_a_worker_exits(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        store = here.backend.store
        for name, saved in (("one", 5), ("two", 7)):
            await store.register(worker(name))
            await store.beat(name, counted(saved), lease=30)
        assert await value(here, "paceline_artifacts_saved_total") == 12
        await store.deregister("two")
        assert await value(here, "paceline_artifacts_saved_total") == 12
        await store.beat("one", counted(6), lease=30)
        assert await value(here, "paceline_artifacts_saved_total") == 13
        assert await value(here, "paceline_llm_call_seconds_count") == 13
        assert round(await value(here, "paceline_llm_call_seconds_sum"), 6) == 0.65


@real_time
async def test_a_restarted_server_does_not_count_again_what_was_counted_before(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        store = here.backend.store
        await store.register(worker("old"))
        await store.beat("old", counted(1000), lease=30)
        assert await value(here, "paceline_artifacts_saved_total") == 1000
    async with site(tmp_path) as here:
        assert await value(here, "paceline_artifacts_saved_total") == 0
        await here.backend.store.beat("old", counted(1001), lease=30)
        assert await value(here, "paceline_artifacts_saved_total") == 1


@real_time
async def test_a_report_of_another_version_makes_no_counter_fall_or_jump(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        store = here.backend.store
        await store.register(worker("one"))
        for figures in (counted(5), Figures(), counted(6)):
            await store.beat("one", figures, lease=30)
            assert await value(here, "paceline_artifacts_saved_total") == max(5, figures.saved)


@real_time
async def test_models_that_a_provider_invents_make_a_bounded_number_of_series(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        store = here.backend.store
        claim = await claimed(store, concepts=150)
        for number in range(150):
            saved = artifact(f"c{number}", model=f"model-{number}", prompt_tokens=2)
            await store.save(claim, saved, concept=None)
        models = {
            one.labels["model"]
            for one in await samples(here)
            if one.name == "paceline_tokens_total"
        }
        assert len(models) == 101
        assert "other" in models
        assert await value(here, "paceline_tokens_total", kind="prompt") == 300
        await store.register(worker("one"))
        many = {f"openai:model-{number}": CallCounts(refused=1) for number in range(150)}
        await store.beat("one", Figures(attempts=many), lease=30)
        assert await value(here, "paceline_llm_refusals_total") == 150
        found = [one for one in await samples(here) if one.name == "paceline_llm_refusals_total"]
        assert len(found) == 101


@real_time
async def test_waiting_work_and_lost_runs_are_counted(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        store = here.backend.store
        await claimed(store, worker_id="gone")
        await store.register(worker("one"))
        await store.beat("one", Figures(waiting=7), lease=30)
        assert await value(here, "paceline_admission_waiting") == 7
        assert await value(here, "paceline_runs_lost") == 1
        assert await value(here, "paceline_queue_unreachable") == 0
